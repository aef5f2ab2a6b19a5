//! A node that looks records up in a dataset: within the decision, in the catalog that it is made with.

use crate::domain::apply::memory::{copy_path, fits};
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::dataset::ENTITIES;
use crate::domain::expression::{EvalError, Root};
use crate::domain::journey::program::{Lookup, Node, Program};
use crate::domain::limits;
use crate::domain::step::{Failure, Path};
use crate::domain::value::{Map, Value};
use crate::planted::{Bug, is_planted};

impl Walk<'_, '_> {
    /// Looks up and goes on; by the way for errors if that can't be done.
    pub(super) fn look_up(&mut self, position: usize, program: &Program, node: &Node, lookup: &Lookup) -> Flow {
        let entities = match self.entities(position, lookup) {
            Ok(entities) => entities,
            Err(error) => return self.fail_at(position, node, Failure::Expression, Some(&error)),
        };
        let kept_as = Root::Lookup.kept_as(&node.name);
        let whole = Map(vec![(kept_as.clone(), Value::Map(Map(vec![(ENTITIES.into(), Value::List(entities))])))]);
        let mut kept = Map::new();
        for path in program.keeps_action.iter().filter(|path| path.first().is_none_or(|first| *first == kept_as)) {
            copy_path(&mut kept, &whole, path);
        }
        if !kept.is_empty() && !is_planted(Bug::LookupNotKept) {
            self.change_extra(position, |extra| {
                extra.called.remove(&kept_as);
                extra.called.0.append(&mut kept.0);
            });
        }
        if !fits(&self.profile.instances[position].context) {
            self.fail(position, Failure::InstanceTooLarge, None);
            return Flow::Gone;
        }
        Flow::Go(lookup.then, Path::Then)
    }

    /// What is found, within the bounds of spec §3.8b.
    fn entities(&self, position: usize, lookup: &Lookup) -> Result<Vec<Value>, EvalError> {
        let other = |message: String| Err(EvalError::Other(message));
        let keys = match lookup.keys.eval(&self.scope(position))? {
            Value::List(keys) => keys,
            key => vec![key],
        };
        if keys.len() > limits::LOOKUP_KEYS_MAX {
            return other(format!("{} keys, and {} are allowed", keys.len(), limits::LOOKUP_KEYS_MAX));
        }
        let Some(dataset) = self.world.catalog.datasets.get(&lookup.dataset) else {
            return other(format!("there is no dataset `{}`", lookup.dataset));
        };
        let keys = keys.iter().filter_map(|key| match key {
            Value::Str(key) => Some(key.as_str()),
            _ => None,
        });
        match dataset.look_up(keys, &lookup.fields) {
            Ok(found) => {
                let weight: usize = found.iter().map(Value::weight).sum();
                if weight > limits::LOOKUP_BYTES_MAX {
                    return other(format!("{weight} bytes were found, and {} are allowed", limits::LOOKUP_BYTES_MAX));
                }
                Ok(found)
            }
            Err(field) => other(format!("`{field}` of a record is not of the type it had when this was published")),
        }
    }
}
