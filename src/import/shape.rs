//! How the shapes of foreign JSON are declared. Owns what they have in common: every field may be missing, and null is as
//! good as missing.

/// Declares a shape, with the rule by which its fields are named in JSON.
macro_rules! shape {
    ($rule:literal, $(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = $rule, default)]
        pub(super) struct $name {
            $($(#[$field_meta])* pub(super) $field: Option<$type>,)*
        }
    };
}
