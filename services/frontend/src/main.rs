//! One process, one service; the library says what it does.

fn main() -> std::process::ExitCode {
    boutique_service::run(frontend::SERVICE, frontend::routes)
}
