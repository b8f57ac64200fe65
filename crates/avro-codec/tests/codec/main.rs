//! What the codec promises, in one program: the code that each type of the model brings is compiled once.

#[macro_use]
mod common;
mod events;
mod evolution;
mod records;
