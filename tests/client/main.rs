//! `waypost::client` against a real server that fails in chosen ways, and over connections that break.

mod faulty;
mod proxy;
mod repeats;
mod connections;
mod applies;
