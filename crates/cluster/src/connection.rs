//! Connections whose other end may vanish without a word: its machine, the network to it, or a process that stands still.

use ballista_core::extension::EndpointOverrideFn;
use std::{sync::Arc, time::Duration};

/// How often the other end is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How long it may take to answer that, or to take the connection.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// Has connections noticed that nobody answers any more. The engine asks every five minutes, or never.
pub(crate) fn watched() -> EndpointOverrideFn {
    Arc::new(|endpoint| {
        Ok(endpoint
            .connect_timeout(ANSWER_TIME_MAX)
            .http2_keep_alive_interval(ASK_EVERY)
            .keep_alive_timeout(ANSWER_TIME_MAX)
            .keep_alive_while_idle(true))
    })
}
