//! Message content: sandboxed templates with `{{ profile.* }}`, `{{ event.* }}`, `{{ last.* }}`, `{{ meta.* }}`, `{{ journey.* }}`,
//! `{{ action.* }}`, `{{ source.* }}` and `{{ lookup.* }}`.
//!
//! A missing attribute renders empty; one that no schema declares is an error at publish. Fuel, recursion and
//! output size are bounded; HTML bodies escape automatically. A template reaches nothing but its input: there are no
//! includes, imports, macros or loaders, and the filters are a list of our own.

mod check;
mod escape;
mod filters;
mod template;

#[cfg(test)]
mod tests;

pub use escape::Escape;
pub use template::{RenderError, RenderInput, Template};
