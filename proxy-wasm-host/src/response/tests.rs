//! The pipeline on a server of plain structs: chosen cases, and every order of what can happen.

mod body;
mod cases;
mod driver;
mod orders;
mod server;
