//! What providers have taken, for ever, and what must hold of it.

use crate::domain::effect::OutboxRow;
use crate::domain::journey::program::Message;
use crate::runtime::delivery::Job;
use crate::sim::Violation;
use crate::sim::channels::Channels;
use crate::sim::history::{Fate, History};

/// What a provider has taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What it says.
    pub(super) content: String,
    /// How often.
    pub times: u32,
    /// In which lives of the process.
    pub(super) lives: Vec<u32>,
}

impl Channels {
    /// What leaves under one key is always the same.
    pub(super) fn check_content(&self, index: usize) -> Result<(), Violation> {
        let Job { row, message, .. } = &self.deliveries[index].job;
        let Some(taken) = self.sink.get(&row.id) else { return Ok(()) };
        let content = content_of(row, message);
        if taken.content == content {
            return Ok(());
        }
        Err(Violation::new(format!("delivery {} said {:?} and says {content:?} now", row.id, taken.content)))
    }

    pub(super) fn arrive(&mut self, index: usize) -> Result<(), Violation> {
        let Job { row, message, .. } = &self.deliveries[index].job;
        let (id, life, may_repeat) = (row.id, self.life, self.deliveries[index].may_repeat());
        let content = content_of(row, message);
        let taken = self.sink.entry(id).or_insert_with(|| Taken { content, times: 0, lives: Vec::new() });
        taken.times += 1;
        taken.lives.push(life);
        let allowed = 1 + self.resent.get(&id).copied().unwrap_or(0);
        if !may_repeat && taken.times > allowed {
            return Err(Violation::new(format!(
                "delivery {id} arrived {} times at a receiver without keys",
                taken.times
            )));
        }
        Ok(())
    }

    /// Every delivery that counts as sent was taken, and none that was taken back; both as far as a crash leaves no doubt.
    pub fn check_fates(&self, history: &History) -> Result<(), Violation> {
        for (id, fate) in &history.deliveries {
            if *fate == Fate::Sent && !self.sink.contains_key(id) && !self.resent.contains_key(id) {
                return Err(Violation::new(format!("delivery {id} counts as sent, and no provider has it")));
            }
        }
        for id in self.sink.keys() {
            let told = match history.deliveries.get(id) {
                None => "nobody decided",
                Some(Fate::Cancelled) if !self.resent.contains_key(id) => "counts as taken back",
                Some(_) => continue,
            };
            return Err(Violation::new(format!("a provider has delivery {id}, which {told}")));
        }
        Ok(())
    }
}

pub(super) fn content_of(row: &OutboxRow, message: &Message) -> String {
    let body = message.body.render(&row.input).unwrap_or_else(|error| format!("<{error}>"));
    format!("{} {} {body}", row.profile, row.recipient)
}
