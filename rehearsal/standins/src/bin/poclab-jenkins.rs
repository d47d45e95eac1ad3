//! The Jenkins stand-in.

fn main() {}
