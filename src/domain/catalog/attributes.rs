//! Attributes together: the shape of the profile document, and declarations that contradict each other.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::domain::expression::{Fields, Type};
use crate::domain::journey::definition::AttributeDefinition;
use crate::domain::journey::findings::{At, Findings};

/// Attributes nested by their dots. Of two that contradict each other the first by name counts.
pub fn profile_fields(attributes: &BTreeMap<SmolStr, AttributeDefinition>) -> Fields {
    let mut fields = Fields::new();
    for attribute in attributes.values() {
        let path: Vec<&str> = attribute.name.value.split('.').collect();
        insert(&mut fields, &path, &attribute.value_type);
    }
    fields
}

fn insert(fields: &mut Fields, path: &[&str], value_type: &Type) {
    let Some((first, rest)) = path.split_first() else { return };
    let index = match fields.iter().position(|(name, _)| name == first) {
        Some(index) => index,
        None => {
            let whole = if rest.is_empty() { value_type.clone() } else { Type::Object(Fields::new()) };
            fields.push((SmolStr::new(first), whole));
            fields.len() - 1
        }
    };
    match (&mut fields[index].1, rest.is_empty(), value_type) {
        (Type::Object(inner), false, _) => insert(inner, rest, value_type),
        (Type::Object(inner), true, Type::Object(added)) => {
            for (name, added) in added {
                insert(inner, &[name], added);
            }
        }
        _ => {}
    }
}

/// Finds attributes that say different things about one field: one lies below another that is no object, or both are
/// the same with different types.
pub fn check_attributes(attributes: &BTreeMap<SmolStr, AttributeDefinition>, findings: &mut Findings<'_>) {
    let mut leaves: BTreeMap<Vec<SmolStr>, (&At<SmolStr>, &Type)> = BTreeMap::new();
    let mut inner: BTreeMap<Vec<SmolStr>, &At<SmolStr>> = BTreeMap::new();
    for attribute in attributes.values().filter(|attribute| !attribute.broken) {
        let name = &attribute.name;
        let mut other = None;
        for (path, value_type) in leaves_of(attribute) {
            let above = (1..path.len()).find_map(|length| leaves.get(&path[..length]));
            let same = leaves.get(&path).filter(|(_, found)| *found != value_type);
            let from_leaves = above.or(same).map(|(name, _)| *name);
            let below = inner.get(&path).copied();
            other = other.or([from_leaves, below].into_iter().flatten().find(|found| *found != name));
            for length in 1..path.len() {
                inner.entry(path[..length].to_vec()).or_insert(name);
            }
            leaves.entry(path).or_insert((name, value_type));
        }
        if let Some(other) = other {
            let message = format!("attributes `{}` and `{}` contradict each other", other.value, name.value);
            findings.error_with(name.place, "attribute_conflict", message, "declare each field once".to_owned());
        }
    }
}

/// Paths and types of the fields of an attribute that are no objects.
fn leaves_of(attribute: &AttributeDefinition) -> Vec<(Vec<SmolStr>, &Type)> {
    let mut leaves = Vec::new();
    let path: Vec<SmolStr> = attribute.name.value.split('.').map(SmolStr::new).collect();
    let mut open = vec![(path, &attribute.value_type)];
    while let Some((path, value_type)) = open.pop() {
        match value_type {
            Type::Object(fields) => {
                open.extend(fields.iter().map(|(name, value_type)| {
                    (path.iter().chain([name]).cloned().collect::<Vec<SmolStr>>(), value_type)
                }));
            }
            leaf => leaves.push((path, leaf)),
        }
    }
    leaves
}
