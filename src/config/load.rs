//! Joins flags, environment, file and defaults into one [`Config`], remembering where each value came from.
//! Never reads the environment itself, and never lets an unknown name pass.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Description;
use super::sections::{Config, setting};
use super::value::{Setting, ShardCount};
use crate::domain::suggest;

/// As many as an engine takes.
const SHARDS_MAX: u16 = 256;
/// Prefix of all environment variables.
const PREFIX: &str = "SOJOURN_";

/// Variables with the prefix that are no settings of the server: the command line reads them.
const OTHER_VARIABLES: [&str; 4] = ["SOJOURN_SERVER", "SOJOURN_API_KEY", "SOJOURN_CONFIG", "SOJOURN_CA"];

/// Where values may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Configuration file: TOML, YAML or JSON by its ending.
    pub file: Option<PathBuf>,
    /// Environment variables, with or without the prefix of ours.
    pub environment: Vec<(String, String)>,
    /// Flags given, by key.
    pub flags: Vec<(String, String)>,
}

/// Where one value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// Settings and where they came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Text and origin of every setting, by key.
    pub values: Vec<(&'static Description, String, Origin)>,
    /// Variables with our prefix that are no settings. No error: Kubernetes sets `SOJOURN_PORT` and the like by itself
    /// wherever a service is called `sojourn`.
    pub warnings: Vec<String>,
}

/// Why settings can't be used; the operator mends the named place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read or parsed.
    #[error("configuration file {}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A name that is no setting.
    #[error("{origin}: {name:?} is no setting{}", suggestion.as_deref().map(|s| format!("; did you mean {s:?}?")).unwrap_or_default())]
    Unknown {
        /// Where it was given.
        origin: String,
        /// The name.
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A value that is not of the setting's kind.
    #[error("{origin}: {key} can't be {text:?}; it takes {expects}")]
    Value {
        /// Where it was given.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The value.
        text: String,
        /// What it takes.
        expects: &'static str,
    },
    /// Settings that don't go together.
    #[error("{0}")]
    Combination(String),
}

/// Texts by key, with origin.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<&'static str, (String, Origin)>);

impl Values {
    /// The value of `key`.
    pub(super) fn read<T: Setting>(&self, key: &'static str) -> Result<T, ConfigError> {
        let (text, origin) = self.0.get(key).expect("every setting has a default");
        T::parse(text).ok_or_else(|| ConfigError::Value {
            origin: origin.clone(),
            key,
            text: text.clone(),
            expects: T::EXPECTS,
        })
    }

    fn set(&mut self, key: &'static str, text: String, origin: Origin) {
        self.0.insert(key, (text, origin));
    }
}

/// The environment variable of a setting.
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Joins all sources. Precedence: flag, environment, file, default.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut values = Values::default();
    let mut warnings = Vec::new();
    for d in super::descriptions() {
        values.set(d.key, d.default.to_owned(), Origin::Default);
    }
    if let Some(path) = &sources.file {
        for (name, text) in read_file(path)? {
            let d = known(&name, &path.display().to_string(), super::descriptions().map(|d| d.key.to_owned()))?;
            values.set(d.key, text, Origin::File(path.clone()));
        }
    }
    for (variable, text) in sources.environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        if OTHER_VARIABLES.contains(&variable.as_str()) {
            continue;
        }
        let Some(d) = super::descriptions().find(|d| d.variable() == *variable) else {
            let error = ConfigError::Unknown {
                origin: "environment".to_owned(),
                name: variable.clone(),
                suggestion: nearest(variable, super::descriptions().map(Description::variable)),
            };
            warnings.push(error.to_string());
            continue;
        };
        values.set(d.key, text.clone(), Origin::Environment(variable.clone()));
    }
    for (key, text) in &sources.flags {
        let d = known(key, "flags", super::descriptions().map(|d| d.key.to_owned()))?;
        values.set(d.key, text.clone(), Origin::Flag(d.flag()));
    }
    let config = Config::read(&values)?;
    check(&config)?;
    let values = super::descriptions()
        .map(|d| {
            let (text, origin) = values.0.remove(d.key).expect("every setting has a default");
            (d, text, origin)
        })
        .collect();
    Ok(Loaded { config, values, warnings })
}

/// Rules between settings.
fn check(config: &Config) -> Result<(), ConfigError> {
    let refuse = |message: &str| Err(ConfigError::Combination(message.to_owned()));
    if config.tls.certificate.is_some() != config.tls.key.is_some() {
        return refuse("tls.certificate and tls.key belong together: give both or none");
    }
    if config.calls.client_certificate.is_some() != config.calls.client_key.is_some() {
        return refuse("calls.client_certificate and calls.client_key belong together: give both or none");
    }
    if let ShardCount::Exactly(count) = config.engine.shards
        && count > SHARDS_MAX
    {
        return refuse("shards must be at most 256");
    }
    if !(1..=32_768).contains(&config.engine.partitions) {
        return refuse("partitions must be 1 to 32768");
    }
    if let Some((name, bounds)) = config.guardrails.limits().beyond() {
        return refuse(&format!("guardrails.{name} must be {bounds}"));
    }
    if config.journal.tail_bytes_max.0 < 4 * config.journal.segment_bytes.0 {
        return refuse("journal.tail_bytes_max must be at least 4 times journal.segment_bytes");
    }
    if config.journal.segment_bytes.0 < 4 << 20 {
        return refuse("journal.segment_bytes must be at least 4MiB");
    }
    Ok(())
}

fn known(name: &str, origin: &str, names: impl Iterator<Item = String>) -> Result<&'static Description, ConfigError> {
    setting(name).ok_or_else(|| ConfigError::Unknown {
        origin: origin.to_owned(),
        name: name.to_owned(),
        suggestion: nearest(name, names),
    })
}

/// Keys and texts of a file, dots between section and name.
fn read_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let failed = |message: String| ConfigError::File { path: path.to_owned(), message };
    let format = match path.extension().and_then(|e| e.to_str()) {
        Some("toml") => config::FileFormat::Toml,
        Some("yaml" | "yml") => config::FileFormat::Yaml,
        Some("json") => config::FileFormat::Json,
        _ => return Err(failed("must end in .toml, .yaml, .yml or .json".to_owned())),
    };
    let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    let parsed = config::Config::builder()
        .add_source(config::File::from_str(&text, format))
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let mut flat = Vec::new();
    flatten("", parsed.cache, &mut flat).map_err(failed)?;
    Ok(flat)
}

/// Depth of a file is at most two: section and name.
fn flatten(prefix: &str, value: config::Value, flat: &mut Vec<(String, String)>) -> Result<(), String> {
    match value.kind {
        config::ValueKind::Table(table) => {
            for (name, inner) in table {
                let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&key, inner, flat)?;
            }
        }
        config::ValueKind::Array(items) => {
            let texts: Result<Vec<String>, _> = items.into_iter().map(config::Value::into_string).collect();
            flat.push((prefix.to_owned(), texts.map_err(|e| format!("{prefix}: {e}"))?.join(",")));
        }
        config::ValueKind::Nil => flat.push((prefix.to_owned(), String::new())),
        _ => {
            let text = value.into_string().map_err(|e| format!("{prefix}: {e}"))?;
            flat.push((prefix.to_owned(), text));
        }
    }
    Ok(())
}

/// The known name that was meant. A right name in a wrong section is nearer than any misspelling.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let known: Vec<String> = known.collect();
    let elsewhere = known.iter().find(|candidate| last(candidate) == last(name));
    elsewhere.cloned().or_else(|| suggest::nearest(name, known.iter().map(String::as_str)).map(str::to_owned))
}
