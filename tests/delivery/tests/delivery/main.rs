//! Rendered delivery files: charts, values, helmfile, compose and images' recipe, held
//! to upstream's names, to Kubernetes' schemas, and to the practices that the README promises.

mod compose;
mod refusals;
mod rendering;
mod reuse;
mod rules;
mod telemetry;
mod tools;
mod upstream;
