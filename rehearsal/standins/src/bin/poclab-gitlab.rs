//! The GitLab stand-in.

fn main() {}
