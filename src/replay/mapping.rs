//! How columns of a table become events: the text of `--map`, parsed. Knows no file and no schema.
//!
//! ```text
//! map     = field '=' value { ',' field '=' value }
//! field   = 'id' | 'type' | 'profile' | 'time' | 'properties.' NAME     (dots in NAME nest)
//! value   = term { [ '+' ] term }                                       (terms are put together)
//! term    = 'constant' | "constant" | column | [column] | # | row
//! ```
//!
//! A quote inside a constant is doubled. A column whose name holds `,`, `+`, `=`, `#`, a quote or a bracket stands in
//! brackets. `#` is the number of the row, from 1, the header not counted; so is `row`, unless a column has that name.

use smol_str::SmolStr;

/// A parsed `--map`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The event's id; the row number where none is given.
    pub id: Option<Template>,
    /// Its type.
    pub kind: Option<Template>,
    /// Its profile.
    pub profile: Option<Template>,
    /// Its time.
    pub time: Option<Template>,
    /// Its properties, by path.
    pub properties: Vec<(Vec<SmolStr>, Template)>,
}

/// Terms whose texts are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Term>);

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A quoted constant.
    Constant(SmolStr),
    /// A column, by name.
    Column(SmolStr),
    /// The number of the row.
    Row,
}

/// What is wrong with a mapping, and an example of a right one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--map can't be read at {at:?}: {message}; write it like \
     --map \"id=#,type='purchase',profile='crm:'+customer,time=date,properties.total=amount\""
)]
pub struct MappingError {
    /// The rest of the text from where it is wrong.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

impl Template {
    /// One column.
    pub fn column(name: impl Into<SmolStr>) -> Self {
        Self(vec![Term::Column(name.into())])
    }
}

impl Mapping {
    /// Parses the text of `--map`.
    ///
    /// # Errors
    /// Where it is wrong and why.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let mut mapping = Self::default();
        let mut rest = text.trim_start();
        if rest.is_empty() {
            return Err(wrong(text, "it is empty"));
        }
        loop {
            let (field, behind) = rest.split_once('=').ok_or_else(|| wrong(rest, "there is no `=`"))?;
            let (template, behind) = Template::parse(behind)?;
            mapping.set(field.trim(), template, rest)?;
            match behind.strip_prefix(',') {
                Some(more) => rest = more.trim_start(),
                None => return Ok(mapping),
            }
        }
    }

    fn set(&mut self, field: &str, template: Template, at: &str) -> Result<(), MappingError> {
        let place = match field {
            "id" => &mut self.id,
            "type" => &mut self.kind,
            "profile" => &mut self.profile,
            "time" => &mut self.time,
            _ => {
                let Some(name) = field.strip_prefix("properties.") else {
                    return Err(wrong(at, "a field is id, type, profile, time or properties.NAME"));
                };
                let path: Vec<SmolStr> = name.split('.').map(SmolStr::new).collect();
                if path.iter().any(SmolStr::is_empty) {
                    return Err(wrong(at, "a property has no name"));
                }
                if self.properties.iter().any(|(known, _)| known.starts_with(&path) || path.starts_with(known)) {
                    return Err(wrong(at, "the field, or one around it, stands there twice"));
                }
                self.properties.push((path, template));
                return Ok(());
            }
        };
        if place.replace(template).is_some() {
            return Err(wrong(at, "the field stands there twice"));
        }
        Ok(())
    }
}

impl Template {
    /// Reads terms up to a comma or the end; gives what is left, beginning with the comma if there is one.
    fn parse(text: &str) -> Result<(Self, &str), MappingError> {
        let (mut terms, mut rest) = (Vec::new(), text.trim_start());
        loop {
            let (term, behind) = Term::parse(rest)?;
            terms.push(term);
            rest = behind.trim_start();
            if rest.is_empty() || rest.starts_with(',') {
                return Ok((Self(terms), rest));
            }
            rest = rest.strip_prefix('+').unwrap_or(rest).trim_start();
        }
    }
}

impl Term {
    fn parse(text: &str) -> Result<(Self, &str), MappingError> {
        match text.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let (constant, rest) = quoted(text, quote)?;
                Ok((Self::Constant(constant), rest))
            }
            Some('[') => {
                let (name, rest) = text[1..].split_once(']').ok_or_else(|| wrong(text, "the bracket stays open"))?;
                Ok((Self::Column(name.into()), rest))
            }
            Some('#') => Ok((Self::Row, &text[1..])),
            _ => {
                let end = text.find(['\'', '"', ',', '+', '=', '#', '[', ']']).unwrap_or(text.len());
                let name = text[..end].trim();
                if text[end..].starts_with('=') {
                    return Err(wrong(text, "a comma is missing before the field"));
                }
                if name.is_empty() {
                    return Err(wrong(text, "a column, a quoted constant or # is due"));
                }
                Ok((Self::Column(name.into()), &text[end..]))
            }
        }
    }
}

/// The constant at the head of `text`, and what follows it. A doubled quote stands for one.
fn quoted(text: &str, quote: char) -> Result<(SmolStr, &str), MappingError> {
    let (mut constant, mut rest) = (String::new(), &text[1..]);
    loop {
        let (piece, behind) = rest.split_once(quote).ok_or_else(|| wrong(text, "the quote stays open"))?;
        constant.push_str(piece);
        match behind.strip_prefix(quote) {
            Some(more) => {
                constant.push(quote);
                rest = more;
            }
            None => return Ok((constant.into(), behind)),
        }
    }
}

fn wrong(at: &str, message: &str) -> MappingError {
    MappingError { at: at.chars().take(60).collect(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Term {
        Term::Column(name.into())
    }

    fn constant(text: &str) -> Term {
        Term::Constant(text.into())
    }

    #[test]
    fn the_example_of_the_help_reads() {
        let text = "id=row,type='purchase',profile='cdnow:'+customer,time=date,properties.total=amount";
        let mapping = Mapping::parse(text).expect("reads");
        assert_eq!(mapping.id, Some(Template(vec![column("row")])));
        assert_eq!(mapping.kind, Some(Template(vec![constant("purchase")])));
        assert_eq!(mapping.profile, Some(Template(vec![constant("cdnow:"), column("customer")])));
        assert_eq!(mapping.time, Some(Template(vec![column("date")])));
        assert_eq!(mapping.properties, [(vec!["total".into()], Template(vec![column("amount")]))]);
    }

    fn check(value: &str, expected: &[Term]) {
        let mapping = Mapping::parse(&format!(" id = {value} , properties.a.b=x ")).expect("reads");
        assert_eq!(mapping.id, Some(Template(expected.to_vec())), "{value}");
        assert_eq!(mapping.properties, [(vec!["a".into(), "b".into()], Template(vec![column("x")]))]);
    }

    #[test]
    fn terms() {
        check("#", &[Term::Row]);
        check("'e-' #", &[constant("e-"), Term::Row]);
        check("'e-'+#+'-'+day", &[constant("e-"), Term::Row, constant("-"), column("day")]);
        check("\"it's\"", &[constant("it's")]);
        check("'it''s, a = b'", &[constant("it's, a = b")]);
        check("order number", &[column("order number")]);
        check("[a, b + c]", &[column("a, b + c")]);
        check("'crm:' customer id", &[constant("crm:"), column("customer id")]);
        check("Größe", &[column("Größe")]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("", "empty"),
            ("id", "no `=`"),
            ("id=", "a column"),
            ("id=,type='x'", "a column"),
            ("id='x", "quote stays open"),
            ("id=[x", "bracket stays open"),
            ("name=x", "a field is"),
            ("properties.=x", "no name"),
            ("id=a,id=b", "twice"),
            ("properties.a=x,properties.a.b=y", "twice"),
            ("id=a type='x'", "comma is missing"),
            ("id=a+", "a column"),
        ] {
            let error = Mapping::parse(text).expect_err(text);
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
