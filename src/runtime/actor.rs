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

/// Envelopes taken in before a turn comes whatever else the mailbox holds: senders that never pause must not put it off.
const ENVELOPES_PER_TURN: usize = 256;

/// A shard input as an actix message.
#[expect(missing_debug_implementations, reason = "inputs hold closures")]
pub struct Envelope(pub ShardInput);

impl Message for Envelope {
    type Result = ();
}

/// The shard's turn: everything that the mailbox held has been taken in.
#[derive(Clone, Copy, Debug)]
struct Turn;

impl Message for Turn {
    type Result = ();
}

/// One shard on its own arbiter thread.
#[expect(missing_debug_implementations, reason = "a shard holds closures")]
pub struct ShardActor {
    shard: Shard,
    clock: Arc<dyn Clock>,
    failure: Failure,
    /// Envelopes taken in since the last turn.
    taken: usize,
    /// A turn comes once the mailbox is empty.
    turn_is_due: bool,
}

impl ShardActor {
    /// An actor for `shard`.
    pub fn new(shard: Shard, clock: Arc<dyn Clock>, failure: Failure) -> Self {
        Self { shard, clock, failure, taken: 0, turn_is_due: false }
    }

    fn turn(&mut self, ctx: &mut Context<Self>) {
        self.taken = 0;
        let now = self.clock.now();
        self.guarded(|shard| shard.turn(now));
        if self.shard.wants_another_turn() {
            self.turn_soon(ctx);
        }
    }

    /// Lets the turn come behind what the mailbox holds: many inputs then share a block and a sync.
    fn turn_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.turn_is_due, true) {
            ctx.notify(Turn);
        }
    }

    fn guarded(&mut self, step: impl FnOnce(&mut Shard)) {
        let shard = &mut self.shard;
        if std::panic::catch_unwind(AssertUnwindSafe(|| step(shard))).is_err() {
            // What is in memory can't be trusted half changed; what is durable can.
            self.failure.raise("a shard panicked: its partitions are read from disk again at the next start");
            self.shard.take(ShardInput::Failed);
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
            actor.turn(ctx);
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

    fn handle(&mut self, Envelope(input): Envelope, ctx: &mut Context<Self>) {
        self.guarded(|shard| shard.take(input));
        self.taken += 1;
        if self.taken >= ENVELOPES_PER_TURN {
            self.turn(ctx);
        } else {
            self.turn_soon(ctx);
        }
    }
}

impl Handler<Turn> for ShardActor {
    type Result = ();

    fn handle(&mut self, _: Turn, ctx: &mut Context<Self>) {
        self.turn_is_due = false;
        self.turn(ctx);
    }
}
