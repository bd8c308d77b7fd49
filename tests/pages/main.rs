//! The buyers' pages over real HTTP: who may see what, what it says, and what a browser is told.

mod browser;
mod checkout;
mod listener;
mod outcomes;
mod served;
mod signed;
mod text;
mod tokens;
mod waiting;
