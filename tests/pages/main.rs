//! The buyers' pages over real HTTP: who may see what, what it says, and what a browser is told.

#[path = "../support/awkward.rs"]
mod awkward;
mod browser;
mod busy_store;
mod checkout;
mod listener;
mod outcomes;
mod served;
mod signed;
mod text;
mod tokens;
mod waiting;
