//! Reads secrets when a sender is built. They are never printed: errors name the variable, not its value.

use crate::domain::surface::Secret;

/// The secret's text.
pub(super) fn reveal(secret: &Secret) -> Result<String, String> {
    match secret {
        Secret::Inline(text) => Ok(text.clone()),
        Secret::Env(name) => {
            std::env::var(name).map_err(|_| format!("the environment variable {name} is not set or not UTF-8"))
        }
    }
}
