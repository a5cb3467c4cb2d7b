//! Words: doc comments that name their item, and scripts that say how they are called.

use std::process::Command;

use super::{root, sources};

/// Openings that describe an item by a question about it, instead of naming it.
const QUESTIONS: [&str; 5] = ["What ", "Whether ", "How ", "Why ", "Who "];

#[test]
fn doc_comments_name_their_item() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut before = "";
        for (line, number) in text.lines().map(str::trim_start).zip(1..) {
            let is_first = |mark: &str| line.starts_with(mark) && !before.starts_with(mark);
            if is_first("///") || is_first("//!") {
                let words = line.get(3..).unwrap_or_default().trim_start();
                let asks = QUESTIONS.iter().any(|question| words.starts_with(question));
                assert!(!asks, "{}:{number}: {line}", path.display());
            }
            before = line;
        }
    }
}

/// From any folder, because all of them go to the root of the repository first.
#[test]
fn scripts_refuse_what_they_do_not_know_and_say_how_they_are_called() {
    for entry in std::fs::read_dir(root().join("scripts")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let arguments: &[&str] = match name.as_str() {
            // Not a command; called by Helmfile alone; says what the benchmark says, once that is compiled.
            "lib.sh" | "helm-major" | "benchmark" => continue,
            "scenario" => &["slow-payment", "--misspelt"],
            _ => &["--misspelt"],
        };
        for folder in [".", "scripts"] {
            let script =
                if folder == "." { format!("scripts/{name}") } else { format!("./{name}") };
            let mut command = Command::new(script);
            let output = command.args(arguments).current_dir(root().join(folder)).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name} from {folder}: {said}");
            assert!(said.starts_with(name.as_str()), "{name} from {folder}: {said}");
        }
    }
}
