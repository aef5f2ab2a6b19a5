//! Expressions: the part of the language that workloads are drawn from, read by recursive descent.

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cel {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    /// `event.cart.size`, `now`.
    Path(Vec<String>),
    /// `has(event.cart.size)`.
    Has(Vec<String>),
    List(Vec<Cel>),
    /// `{'a': 1}`.
    Map(Vec<(String, Cel)>),
    /// `timestamp(…)`, `duration(…)`.
    Call(String, Vec<Cel>),
    /// `last.tag.startsWith('a')`, `event.items.exists(i, i.id == 'k1')`, `math.greatest(a, b)`.
    Method(Box<Cel>, String, Vec<Cel>),
    /// A field of what a method gives.
    Select(Box<Cel>, String),
    /// `event.tags[0]`.
    Index(Box<Cel>, Box<Cel>),
    Not(Box<Cel>),
    Minus(Box<Cel>),
    Binary(String, Box<Cel>, Box<Cel>),
    Choice(Box<Cel>, Box<Cel>, Box<Cel>),
}

/// Operators, weakest first; those of one line bind alike, from the left.
const LEVELS: [&[&str]; 5] =
    [&["||"], &["&&"], &["==", "!=", "<", "<=", ">", ">=", "in"], &["+", "-"], &["*", "/", "%"]];

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Cel, String> {
    let mut reader = Reader { tokens: tokens(text)?, next: 0, text };
    let cel = reader.choice()?;
    if reader.next < reader.tokens.len() {
        return Err(reader.unexpected());
    }
    Ok(cel)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Integer(i64),
    Number(f64),
    Text(String),
    Sign(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        // What no backslash stands in says the same with and without the letter.
        if let Some(raw) = rest.strip_prefix('r').filter(|raw| raw.starts_with('\'')) {
            rest = raw;
            continue;
        }
        let size = if first == '\'' {
            rest[1..].find('\'').ok_or_else(|| format!("an open text in `{text}`"))? + 2
        } else if first.is_ascii_digit() {
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())
        } else if first.is_alphabetic() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else {
            let long = ["&&", "||", "==", "!=", "<=", ">="].iter().any(|sign| rest.starts_with(sign));
            1 + usize::from(long)
        };
        let (token, after) = rest.split_at(size);
        tokens.push(match first {
            '\'' => Token::Text(token[1..size - 1].to_owned()),
            _ if first.is_ascii_digit() => match token.parse() {
                Ok(integer) => Token::Integer(integer),
                Err(_) => Token::Number(token.parse().map_err(|_| format!("`{token}` is no number"))?),
            },
            _ if first.is_alphabetic() || first == '_' => Token::Word(token.to_owned()),
            _ => Token::Sign(token.to_owned()),
        });
        rest = after.trim_start();
    }
    Ok(tokens)
}

struct Reader<'t> {
    tokens: Vec<Token>,
    next: usize,
    text: &'t str,
}

impl Reader<'_> {
    fn unexpected(&self) -> String {
        format!("unexpected {:?} in `{}`", self.tokens.get(self.next), self.text)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Sign(s)) if s == sign);
        self.next += usize::from(found);
        found
    }

    fn must_take(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn choice(&mut self) -> Result<Cel, String> {
        let condition = self.binary(0)?;
        if !self.take_sign("?") {
            return Ok(condition);
        }
        let yes = self.binary(0)?;
        self.must_take(":")?;
        let no = self.choice()?;
        Ok(Cel::Choice(condition.into(), yes.into(), no.into()))
    }

    fn binary(&mut self, level: usize) -> Result<Cel, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(Token::Sign(sign) | Token::Word(sign)) = self.tokens.get(self.next).cloned()
            && operators.contains(&sign.as_str())
        {
            self.next += 1;
            left = Cel::Binary(sign, left.into(), self.binary(level + 1)?.into());
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Cel, String> {
        if self.take_sign("!") {
            return Ok(Cel::Not(self.unary()?.into()));
        }
        if self.take_sign("-") {
            return Ok(Cel::Minus(self.unary()?.into()));
        }
        let mut operand = self.operand()?;
        loop {
            if self.take_sign("[") {
                operand = match (operand, self.choice()?) {
                    (Cel::Path(mut path), Cel::Text(name)) => {
                        path.push(name);
                        Cel::Path(path)
                    }
                    (operand, place) => Cel::Index(operand.into(), place.into()),
                };
                self.must_take("]")?;
                continue;
            }
            if !self.take_sign(".") {
                return Ok(operand);
            }
            let Some(Token::Word(name)) = self.tokens.get(self.next).cloned() else { return Err(self.unexpected()) };
            self.next += 1;
            operand = if self.take_sign("(") {
                Cel::Method(operand.into(), name, self.items(")")?)
            } else {
                Cel::Select(operand.into(), name)
            };
        }
    }

    fn operand(&mut self) -> Result<Cel, String> {
        let token = self.tokens.get(self.next).cloned().ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(match token {
            Token::Integer(integer) => Cel::Integer(integer),
            Token::Number(number) => Cel::Number(number),
            Token::Text(text) => Cel::Text(text),
            Token::Sign(sign) if sign == "(" => {
                let inner = self.choice()?;
                self.must_take(")")?;
                inner
            }
            Token::Sign(sign) if sign == "[" => Cel::List(self.items("]")?),
            Token::Sign(sign) if sign == "{" => Cel::Map(self.entries()?),
            Token::Word(word) => self.word(word)?,
            Token::Sign(_) => {
                self.next -= 1;
                return Err(self.unexpected());
            }
        })
    }

    fn items(&mut self, end: &str) -> Result<Vec<Cel>, String> {
        let mut items = Vec::new();
        while !self.take_sign(end) {
            items.push(self.choice()?);
            self.take_sign(",");
        }
        Ok(items)
    }

    /// Names in quotes, and values.
    fn entries(&mut self) -> Result<Vec<(String, Cel)>, String> {
        let mut entries = Vec::new();
        while !self.take_sign("}") {
            let Cel::Text(name) = self.operand()? else { return Err(self.unexpected()) };
            self.must_take(":")?;
            entries.push((name, self.choice()?));
            self.take_sign(",");
        }
        Ok(entries)
    }

    fn word(&mut self, word: String) -> Result<Cel, String> {
        match word.as_str() {
            "true" | "false" => return Ok(Cel::Boolean(word == "true")),
            "null" => return Ok(Cel::Null),
            _ => {}
        }
        if self.take_sign("(") {
            let arguments = self.items(")")?;
            return Ok(match (word.as_str(), arguments.as_slice()) {
                ("has", [Cel::Path(path)]) => Cel::Has(path.clone()),
                _ => Cel::Call(word, arguments),
            });
        }
        let mut path = vec![word];
        while let [Token::Sign(dot), Token::Word(name), after @ ..] = &self.tokens[self.next..]
            && dot == "."
            && !matches!(after.first(), Some(Token::Sign(sign)) if sign == "(")
        {
            path.push(name.clone());
            self.next += 2;
        }
        Ok(Cel::Path(path))
    }
}
