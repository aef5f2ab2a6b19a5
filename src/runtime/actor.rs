//! The actix actor around a shard: its mailbox, its thread, its clock. No decision is made here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Message, Supervised};

use crate::runtime::clock::Clock;
use crate::runtime::failure::Failure;
use crate::runtime::handle::MAILBOX_ENVELOPES;
use crate::runtime::shard::Shard;
use crate::runtime::shard::input::ShardInput;

/// How often a shard looks at its timers when nothing else wakes it.
const TICK: Duration = Duration::from_millis(2);

/// A shard input as an actix message.
#[expect(missing_debug_implementations, reason = "inputs hold closures")]
pub struct Envelope(pub ShardInput);

impl Message for Envelope {
    type Result = ();
}

/// One shard on its own arbiter thread.
#[expect(missing_debug_implementations, reason = "a shard holds closures")]
pub struct ShardActor {
    shard: Shard,
    clock: Arc<dyn Clock>,
    failure: Failure,
}

impl ShardActor {
    /// An actor for `shard`.
    pub fn new(shard: Shard, clock: Arc<dyn Clock>, failure: Failure) -> Self {
        Self { shard, clock, failure }
    }

    fn step(&mut self, input: Option<ShardInput>) {
        let shard = &mut self.shard;
        let clock = &self.clock;
        let stepped = std::panic::catch_unwind(AssertUnwindSafe(|| {
            if let Some(input) = input {
                shard.take(input);
            }
            shard.turn(clock.now());
        }));
        if stepped.is_err() {
            // What is in memory can't be trusted half changed; what is durable can.
            self.failure.raise("a shard panicked: its partitions are read from disk again at the next start");
            shard.take(ShardInput::Failed);
        }
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_ENVELOPES);
        ctx.run_interval(TICK, |actor, ctx| {
            if actor.failure.is_raised() {
                actor.shard.take(ShardInput::Failed);
                ctx.stop();
                return;
            }
            actor.step(None);
        });
    }
}

impl Supervised for ShardActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.failure.raise("a shard's actor stopped");
    }
}

impl Handler<Envelope> for ShardActor {
    type Result = ();

    fn handle(&mut self, Envelope(input): Envelope, _: &mut Context<Self>) {
        self.step(Some(input));
    }
}
