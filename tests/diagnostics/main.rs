//! Broken repositories: each problem is told with its code, file, line and column, and each code is explained.

mod codes;
mod fixtures;
mod pages;
mod support;
