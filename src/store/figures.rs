//! What a store says about itself to those who run it. Looked up when somebody asks, and quick whatever the store holds.

/// Each is `None` where a store has no such thing, or would have to read everything to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions that it holds.
    pub sessions: Option<u64>,
    /// Memory that they take, with the tables in which they are found, when they are kept in memory.
    pub session_memory_bytes: Option<u64>,
    /// Writes that wait for their turn.
    pub queued_writes: Option<u64>,
    /// Connections to a database: used, idle, and as many as there may be.
    pub connections: Option<[u64; 3]>,
    /// Calls that wait for one of them.
    pub waiting_for_connection: Option<u64>,
}
