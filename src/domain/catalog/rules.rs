//! Event types that are recognised among others by a rule (spec §1.2): one event may be of several types at once.

use smol_str::SmolStr;

use super::Catalog;
use crate::domain::expression::{Expr, Fields, Schemas, Scope, SourceError, Type};
use crate::domain::journey::definition::{EventDefinition, RuleDefinition};

/// A rule, compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The type that events are of, too.
    pub name: SmolStr,
    /// What must hold of them.
    pub when: Expr,
}

impl Rule {
    /// Compiles a rule over the declared fields of the events it is about and of the profile.
    pub(super) fn compile(
        name: &SmolStr,
        rule: &RuleDefinition,
        base: &EventDefinition,
        profile: &Fields,
    ) -> Result<Self, Vec<SourceError>> {
        let (event, profile) = (Some(base.schema.clone()), Some(profile.clone()));
        let schemas = Schemas { event, profile, ..Schemas::default() };
        Ok(Self { name: name.clone(), when: Expr::compile(&rule.when.value, &schemas, &Type::Boolean)? })
    }
}

impl Catalog {
    /// Types that an event of type `kind` is of beside it. A rule that fails does not recognise it.
    pub fn recognised(&self, kind: &str, scope: &Scope<'_>) -> Vec<&SmolStr> {
        let rules = self.rules.get(kind).map_or(&[][..], Vec::as_slice);
        rules.iter().filter(|rule| rule.when.eval_bool(scope).unwrap_or(false)).map(|rule| &rule.name).collect()
    }

    /// Compiles the rules of all declared events; the first that does not compile.
    pub(super) fn compile_rules(&mut self) -> Result<(), SmolStr> {
        self.rules.clear();
        let profile = self.profile_fields();
        for (name, event) in &self.events {
            let Some(rule) = &event.rule else { continue };
            let compiled =
                self.events.get(&rule.of.value).and_then(|base| Rule::compile(name, rule, base, &profile).ok());
            self.rules.entry(rule.of.value.clone()).or_default().push(compiled.ok_or_else(|| name.clone())?);
        }
        Ok(())
    }
}
