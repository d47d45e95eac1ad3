//! The GitLab stand-in.
