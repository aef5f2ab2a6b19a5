//! Templates of other engines as ours: placeholders, and conditions on one field. What goes beyond is left out and told.
//!
//! Both languages put things between `{{ … }}`; Liquid has tags between `{% … %}` too. Text that ours would read as a tag
//! and theirs does not is written so that it stays text.

use super::text::{literal, shown};

/// The language of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Handlebars,
    Liquid,
}

/// What becomes of a path in a template: an expression of ours, or why there is none.
pub(super) type Resolve<'r> = dyn FnMut(&str) -> Result<String, String> + 'r;

/// A template while it is translated.
struct Translation<'t, 'r> {
    dialect: Dialect,
    resolve: &'t mut Resolve<'r>,
    problems: &'t mut Vec<String>,
    /// Blocks that are open, each by the word that closes it; none for those that were left out.
    open: Vec<(String, Option<&'static str>)>,
    out: String,
}

/// `source` as a template of ours. What was left out is added to `problems`.
pub(super) fn translate(
    source: &str,
    dialect: Dialect,
    resolve: &mut Resolve<'_>,
    problems: &mut Vec<String>,
) -> String {
    let mut translation = Translation { dialect, resolve, problems, open: Vec::new(), out: String::new() };
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        translation.out.push_str(&rest[..at]);
        rest = translation.tag(&rest[at..]);
    }
    translation.out.push_str(rest);
    while let Some((word, closes)) = translation.open.pop() {
        translation.problems.push(format!("`{word}` is never closed"));
        translation.out.push_str(closes.unwrap_or_default());
    }
    translation.out
}

impl Translation<'_, '_> {
    /// Handles what begins with a brace; answers what follows it.
    fn tag<'s>(&mut self, text: &'s str) -> &'s str {
        if let Some(rest) = self.liquid_comment(text) {
            return rest;
        }
        for (opens, closes) in [("{{{", "}}}"), ("{{", "}}"), ("{%", "%}")] {
            let known = match self.dialect {
                Dialect::Handlebars => opens != "{%",
                Dialect::Liquid => opens != "{{{",
            };
            let Some(rest) = text.strip_prefix(opens).filter(|_| known) else { continue };
            // A comment may hold braces.
            let closes = if rest.starts_with("!--") { "--}}" } else { closes };
            let Some(end) = rest.find(closes) else { continue };
            let inner = &rest[..end];
            let whole = &text[..opens.len() + end + closes.len()];
            if let Err(reason) = self.translate(opens, inner) {
                let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                self.problems.push(format!("`{}` is left out{reason}", shown(whole)));
            }
            return &text[whole.len()..];
        }
        self.plain(text)
    }

    /// What follows a comment of Liquid, which nobody reads in the message.
    fn liquid_comment<'s>(&self, text: &'s str) -> Option<&'s str> {
        let rest = text.strip_prefix("{%").filter(|_| self.dialect == Dialect::Liquid)?;
        let rest = rest.trim_start_matches('-').trim_start().strip_prefix("comment")?;
        let closes = rest.find("endcomment")?;
        Some(&rest[closes + rest[closes..].find("%}")? + 2..])
    }

    /// A brace that opens nothing there, and must not here.
    fn plain<'s>(&mut self, text: &'s str) -> &'s str {
        for opens in ["{{", "{%", "{#"] {
            if let Some(rest) = text.strip_prefix(opens) {
                self.out.push_str(&format!("{{{{ '{opens}' }}}}"));
                return rest;
            }
        }
        self.out.push('{');
        &text[1..]
    }

    fn translate(&mut self, opens: &str, inner: &str) -> Result<(), String> {
        let trim = |c| if self.dialect == Dialect::Liquid { c == '-' } else { c == '~' };
        let (before, after) = (inner.starts_with(trim), inner.ends_with(trim));
        let words = inner.trim_matches(trim).trim();
        let (left, right) = (if before { "-" } else { "" }, if after { "-" } else { "" });
        match (self.dialect, opens) {
            (Dialect::Handlebars, "{{") if words.starts_with('!') => Ok(()),
            (Dialect::Handlebars, "{{") if words.starts_with('#') || words.starts_with('/') || words == "else" => {
                let tag = self.handlebars_block(words)?;
                self.out.push_str(&tag.map(|tag| format!("{{%{left} {tag} {right}%}}")).unwrap_or_default());
                Ok(())
            }
            (Dialect::Liquid, "{%") => {
                let tag = self.liquid_tag(words)?;
                self.out.push_str(&tag.map(|tag| format!("{{%{left} {tag} {right}%}}")).unwrap_or_default());
                Ok(())
            }
            (dialect, opens) => {
                let raw = opens == "{{{" || (dialect == Dialect::Handlebars && words.starts_with('&'));
                let expression = match dialect {
                    Dialect::Handlebars => (self.resolve)(words.trim_start_matches('&').trim())?,
                    Dialect::Liquid => self.liquid_output(words)?,
                };
                let safe = if raw { "|safe" } else { "" };
                self.out.push_str(&format!("{{{{{left} {expression}{safe} {right}}}}}"));
                Ok(())
            }
        }
    }

    /// `#if path`, `#unless path`, `else`, `/if`. `None` belongs to a block that was left out.
    fn handlebars_block(&mut self, words: &str) -> Result<Option<String>, String> {
        if words == "else" {
            return self.middle("else");
        }
        if let Some(name) = words.strip_prefix('/') {
            return self.close(name.trim());
        }
        let (word, condition) = words[1..].trim().split_once(char::is_whitespace).unwrap_or((&words[1..], ""));
        let tag = match word {
            "if" | "unless" => {
                (self.resolve)(condition.trim()).map(|path| if word == "if" { path } else { format!("not {path}") })
            }
            _ => Err("only `if` and `unless` of one field are known".to_owned()),
        };
        self.open(word, tag)
    }

    /// `if`, `unless`, `elsif`, `else` and what closes them.
    fn liquid_tag(&mut self, words: &str) -> Result<Option<String>, String> {
        let (word, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        match word {
            "if" | "unless" => {
                let condition = self.liquid_condition(rest);
                let tag = condition.map(|c| if word == "if" { c } else { format!("not ({c})") });
                self.open(word, tag)
            }
            "elsif" => {
                let condition = self.liquid_condition(rest);
                match condition {
                    Ok(condition) => self.middle(&format!("elif {condition}")),
                    // Nobody takes that way, which keeps the others right.
                    Err(reason) => {
                        if let Some(tag) = self.middle("elif false")? {
                            self.out.push_str(&format!("{{% {tag} %}}"));
                        }
                        Err(reason)
                    }
                }
            }
            "else" => self.middle("else"),
            "for" | "case" | "comment" | "raw" | "capture" | "tablerow" | "block" => {
                self.open(word, Err("only `if` and `unless` are known".to_owned()))
            }
            _ => match word.strip_prefix("end") {
                Some(name) if !name.is_empty() => self.close(name),
                _ => Err("only `if` and `unless` are known".to_owned()),
            },
        }
    }

    fn open(&mut self, word: &str, condition: Result<String, String>) -> Result<Option<String>, String> {
        let closes = condition.is_ok().then_some("{% endif %}");
        self.open.push((word.to_owned(), closes));
        condition.map(|condition| Some(format!("if {condition}")))
    }

    fn middle(&self, tag: &str) -> Result<Option<String>, String> {
        match self.open.last() {
            Some((_, Some(_))) => Ok(Some(tag.to_owned())),
            Some((word, None)) => Err(format!("of `{word}`, which is left out")),
            None => Err("nothing is open".to_owned()),
        }
    }

    fn close(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.open.last() {
            Some((word, closes)) if word == name => {
                let tag = closes.map(|_| "endif".to_owned());
                self.open.pop();
                Ok(tag)
            }
            _ => Err("nothing of that kind is open".to_owned()),
        }
    }

    /// `path`, or `path == 'text'` with any comparison.
    fn liquid_condition(&mut self, words: &str) -> Result<String, String> {
        const COMPARISONS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];
        let words = words.trim();
        let found = COMPARISONS.into_iter().find_map(|op| words.split_once(op).map(|(path, value)| (op, path, value)));
        match found {
            None => (self.resolve)(words),
            Some((op, path, value)) => {
                let value = constant(value).ok_or("only a constant may be compared with")?;
                Ok(format!("{} {op} {value}", (self.resolve)(path.trim())?))
            }
        }
    }

    /// `path | filter: argument | …`
    fn liquid_output(&mut self, words: &str) -> Result<String, String> {
        let mut parts = split_pipes(words).into_iter();
        let mut expression = (self.resolve)(parts.next().unwrap_or_default().trim())?;
        for part in parts {
            let (name, argument) = part.split_once(':').map_or((part.trim(), None), |(n, a)| (n.trim(), Some(a)));
            let filter = match (name, argument) {
                ("default", Some(argument)) => {
                    format!("|default({}, true)", constant(argument).ok_or("only a constant may be the default")?)
                }
                ("upcase", None) => "|upper".to_owned(),
                ("downcase", None) => "|lower".to_owned(),
                ("capitalize", None) => "|capitalize".to_owned(),
                ("strip", None) => "|trim".to_owned(),
                ("url_encode", None) => "|urlencode".to_owned(),
                ("size", None) => "|length".to_owned(),
                // What is put into HTML is escaped here anyhow.
                ("escape", None) => String::new(),
                _ => return Err(format!("filter `{name}` is not known")),
            };
            expression.push_str(&filter);
        }
        Ok(expression)
    }
}

/// A text in which nothing is a placeholder, as a template that gives this text.
pub(super) fn verbatim(text: &str) -> String {
    let mut problems = Vec::new();
    let nothing = &mut |_: &str| Err(String::new());
    let mut translation = Translation {
        dialect: Dialect::Handlebars,
        resolve: nothing,
        problems: &mut problems,
        open: Vec::new(),
        out: String::new(),
    };
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        translation.out.push_str(&rest[..at]);
        rest = translation.plain(&rest[at..]);
    }
    translation.out + rest
}

/// A text or number as templates write it.
fn constant(text: &str) -> Option<String> {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return (!inner.contains(quote)).then(|| literal(inner));
        }
    }
    let number =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok();
    (number && !text.starts_with('.') && !text.ends_with('.')).then(|| text.to_owned())
}

/// Parts between pipes that stand in no quotes.
fn split_pipes(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('|', None) => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, source: &str, expected: &str, expected_problems: &[&str]) {
        let mut resolve = |path: &str| match path.strip_prefix("user.") {
            Some(field) if !field.contains([' ', '[']) => Ok(format!("profile.{field}")),
            _ => Err("no field".to_owned()),
        };
        let mut problems = Vec::new();
        assert_eq!(translate(source, dialect, &mut resolve, &mut problems), expected);
        assert_eq!(problems, expected_problems);
    }

    #[test]
    fn handlebars() {
        let check = |source, expected, problems: &[&str]| check(Dialect::Handlebars, source, expected, problems);
        check(
            "Hi {{user.name}}, {{{ user.html }}}{{&user.raw}}",
            "Hi {{ profile.name }}, {{ profile.html|safe }}{{ profile.raw|safe }}",
            &[],
        );
        check("{{#if user.vip}}A{{else}}B{{/if}}", "{% if profile.vip %}A{% else %}B{% endif %}", &[]);
        check("{{~#unless user.vip~}}A{{/unless}}", "{%- if not profile.vip -%}A{% endif %}", &[]);
        check("{{! note }}{{!-- with }} --}}x", "x", &[]);
        check(
            "{{#each user.items}}{{this}}{{/each}}",
            "",
            &[
                "`{{#each user.items}}` is left out (only `if` and `unless` of one field are known)",
                "`{{this}}` is left out (no field)",
            ],
        );
        check("{% literal %} {# too #} {x} {{", "{{ '{%' }} literal %} {{ '{#' }} too #} {x} {{ '{{' }}", &[]);
        check("{{#if user.a}}x", "{% if profile.a %}x{% endif %}", &["`if` is never closed"]);
        check(
            "{{/if}}{{else}}",
            "",
            &["`{{/if}}` is left out (nothing of that kind is open)", "`{{else}}` is left out (nothing is open)"],
        );
    }

    #[test]
    fn liquid() {
        let check = |source, expected, problems: &[&str]| check(Dialect::Liquid, source, expected, problems);
        check("{{ user.name | default: \"a | b\" | upcase }}", "{{ profile.name|default('a | b', true)|upper }}", &[]);
        check(
            "{{ user.name | date: '%y' }}",
            "",
            &["`{{ user.name | date: '%y' }}` is left out (filter `date` is not known)"],
        );
        check(
            "{% if user.plan == 'pro' %}A{% elsif user.x %}B{% else %}C{% endif %}",
            "{% if profile.plan == 'pro' %}A{% elif profile.x %}B{% else %}C{% endif %}",
            &[],
        );
        check("{%- unless user.a > 3 -%}A{% endunless %}", "{%- if not (profile.a > 3) -%}A{% endif %}", &[]);
        check(
            "{% if other %}A{% else %}B{% endif %}",
            "AB",
            &["`{% if other %}` is left out (no field)", "`{% else %}` is left out (of `if`, which is left out)"],
        );
        check(
            "{% unsubscribe_link here %}",
            "",
            &["`{% unsubscribe_link here %}` is left out (only `if` and `unless` are known)"],
        );
        check("a{%- comment -%} {{ user.x }} {% endcomment %}b", "ab", &[]);
        check("{# no comment #}", "{{ '{#' }} no comment #}", &[]);
    }
}
