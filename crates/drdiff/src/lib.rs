//! DrDiff as a library.
