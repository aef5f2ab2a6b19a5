//! Journeys: from resource files (`source`), through validation (`check`), to the program that profiles walk (`program`).

pub mod program;
