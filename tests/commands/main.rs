//! The commands of the documents: each is run here as it is written there, or named in [`elsewhere`] with the test that
//! runs it, or why none does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod elsewhere;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, ensure};
use boutique_proto::services::SERVICES;
use boutique_test::{Process, Processes, Visitor, binary, settings};
use tokio::process::Command;

use elsewhere::{BY_NOBODY, BY_OTHERS};

/// The command that starts the shop in a document.
const SHOP: &str = "cargo run --release";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document of the repository.
fn documents() -> Vec<PathBuf> {
    boutique_test::files(root(), "md")
}

/// The commands of all documents.
fn documented() -> BTreeSet<String> {
    documents().iter().flat_map(|document| commands(document)).collect()
}

/// Returns the commands of a document, those in blocks marked `sh`: without comments, each on one line unless it is a loop
/// or has a text of its own.
fn commands(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let mut commands: Vec<String> = Vec::new();
    let (mut is_shell, mut end) = (false, None);
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        if fence || !is_shell {
            is_shell = fence && line.trim_start() == "```sh";
            continue;
        }
        let line = line.split(" # ").next().unwrap_or_default().trim_end();
        let is_continued = commands.last().is_some_and(|command| command.ends_with('\\'));
        match commands.last_mut() {
            Some(command) if is_continued => {
                command.truncate(command.trim_end_matches(['\\', ' ']).len());
                *command += " ";
                *command += line.trim_start();
            }
            Some(command) if end.is_some() => {
                *command += "\n";
                *command += line;
                end = end.filter(|end| *end != line);
            }
            _ if line.is_empty() => {}
            _ => commands.push(line.to_owned()),
        }
        if line.ends_with("<<'YAML'") {
            end = Some("YAML");
        } else if line.ends_with("; do") {
            end = Some("done");
        }
    }
    commands
}

/// The commands of the document at this path.
fn commands_of(path: &str) -> Vec<String> {
    commands(&root().join(path))
}

/// True for commands that this test runs.
fn is_run_here(command: &str) -> bool {
    let is_shop = command.ends_with(SHOP);
    let begins = ["grpcurl ", "curl ", "helm template "];
    is_shop
        || command == LOAD
        || command == SCENARIOS
        || begins.iter().any(|begin| command.starts_with(begin))
}

const LOAD: &str = "cargo run --release -p loadgenerator -- --frontend-addr localhost:8080 --users 20 --tasks 2000 --wait-min 0 --wait-max 0";
const SCENARIOS: &str = "scripts/scenario";

#[test]
fn every_command_is_run_or_named_with_the_reason() {
    let documented = documented();
    let others = BY_OTHERS.iter().map(|(command, ..)| *command);
    let known: BTreeSet<&str> =
        others.chain(BY_NOBODY.iter().map(|(command, _)| *command)).collect();
    assert_eq!(known.len(), BY_OTHERS.len() + BY_NOBODY.len(), "a command is named twice");
    let is_known = |command: &str| known.contains(command) || is_run_here(command);
    let unknown: Vec<&String> = documented.iter().filter(|command| !is_known(command)).collect();
    assert!(unknown.is_empty(), "run by no test, and not named: {unknown:#?}");
    let gone: Vec<&&str> = known.iter().filter(|command| !documented.contains(**command)).collect();
    assert!(gone.is_empty(), "in no document: {gone:#?}");
    for (command, file, way) in BY_OTHERS {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(text.contains(way), "{file} does not run {command}: it has no {way}");
    }
}

/// Runs a command by a shell at the root of the repository.
async fn shell(command: &str) -> anyhow::Result<Output> {
    let mut shell = Command::new("bash");
    shell.args(["-c", command]).current_dir(root()).kill_on_drop(true);
    shell.output().await.context("cannot start bash")
}

/// Runs a command that ends well, and returns its output.
async fn output_of(command: &str) -> anyhow::Result<String> {
    let output = shell(command).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A command with this address in place of the `localhost:PORT` in it.
fn at(command: &str, address: &str) -> String {
    let (before, after) = command.split_once("localhost:").unwrap();
    format!("{before}{address}{}", after.trim_start_matches(|letter: char| letter.is_ascii_digit()))
}

/// A part of each service's answer, as grpcurl writes it.
const ANSWERS: [(&str, &str); 9] = [
    ("adservice", "\"redirectUrl\""),
    ("cartservice", "{}"),
    ("checkoutservice", "\"orderId\""),
    ("currencyservice", "\"currencyCode\": \"EUR\""),
    ("emailservice", "{}"),
    ("paymentservice", "\"transactionId\""),
    ("productcatalogservice", "\"results\""),
    ("recommendationservice", "\"productIds\""),
    ("shippingservice", "\"costUsd\""),
];

/// In the order of the table of services, so that the cart is filled before it is ordered.
#[tokio::test]
async fn services_are_called_as_their_documents_say() -> anyhow::Result<()> {
    let shop = Processes::ten(&settings([])).await?;
    for service in SERVICES.iter().filter(|service| service.name != "frontend") {
        let title = format!("# {}\n", service.name);
        let is_its = |path: &PathBuf| std::fs::read_to_string(path).unwrap().starts_with(&title);
        let document = documents().into_iter().find(is_its).context("no document")?;
        let calls: Vec<String> =
            commands(&document).into_iter().filter(|it| it.starts_with("grpcurl ")).collect();
        ensure!(!calls.is_empty(), "{} is not called", service.name);
        for call in calls {
            let said = output_of(&at(&call, &shop.addresses[service.addr_key])).await?;
            let answer = ANSWERS.iter().find(|(name, _)| *name == service.name);
            let answer = answer.map_or("{", |(_, answer)| answer);
            ensure!(said.contains(answer), "{call}: {said}");
        }
    }

    let [list, retry] = &commands_of("docs/orders.md")[..] else { anyhow::bail!("other commands") };
    let checkout = &shop.addresses["CHECKOUT_SERVICE_ADDR"];
    assert_eq!(output_of(&at(list, checkout)).await?.trim(), "{}");
    let refused = shell(&at(retry, checkout)).await?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(said.contains("Code: NotFound"), "{said}");
    shop.stop().await?;
    Ok(())
}

/// Starts the shop as a document does, on free ports.
async fn start(command: &str) -> anyhow::Result<(Process, Visitor)> {
    let shop = format!("exec '{}'", binary("boutique")?.display());
    let command = command.replace(SHOP, &shop).replace("127.0.0.1:9464", "127.0.0.1:0");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &command]).current_dir(root());
    let mut process = Process::start_as("boutique", shell, &settings([("PORT", "0")]))?;
    let visitor = Visitor::new(format!("http://{}", process.address().await?));
    Ok((process, visitor))
}

#[tokio::test]
async fn shop_opens_as_the_documents_say() -> anyhow::Result<()> {
    let mut opened = 0;
    for command in documented().iter().filter(|command| command.ends_with(SHOP)) {
        let (process, mut visitor) = start(command).await?;
        let home = visitor.get("/").await;
        ensure!(home.status == 200, "{command}: {}", home.status);
        process.signal("-TERM");
        let (status, output) = process.wait().await?;
        ensure!(status.success(), "{command}: {status}: {output}");
        opened += 1;
    }
    ensure!(opened >= 4, "{opened}");
    Ok(())
}

#[tokio::test]
async fn faults_change_as_the_document_says() -> anyhow::Result<()> {
    let commands = commands_of("docs/faults.md");
    let description = commands.iter().find_map(|command| command.strip_prefix("FAULTS='"));
    let description = description.and_then(|rest| rest.split('\'').next()).context("no faults")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("faults.yaml");
    std::fs::write(&file, description)?;
    let opening = commands.iter().find(|command| command.contains("ADMIN_TOKEN="));
    let (mut process, _visitor) = start(opening.context("no admin port")?).await?;
    let admin = process.admin_address().await?;
    let mut reader = Visitor::new(format!("http://{admin}"));
    let mut states = Vec::new();
    for call in commands.iter().filter(|command| command.starts_with("curl ")) {
        let call = at(call, &admin).replace("faults.yaml", &file.display().to_string());
        output_of(&call).await?;
        let faults: serde_json::Value = serde_json::from_str(&reader.get("/faults").await.body)?;
        states.push(faults.to_string());
    }
    let [on, off] = &states[..] else { anyhow::bail!("other commands: {states:?}") };
    ensure!(on.contains("slow-catalog") && on.contains("\"enabled\":true"), "{on}");
    ensure!(off.contains("slow-catalog") && off.contains("\"enabled\":false"), "{off}");
    Ok(())
}

#[tokio::test]
async fn load_runs_as_the_readme_says() -> anyhow::Result<()> {
    let mut shop = Processes::one(&settings([])).await?;
    let program = format!("'{}' ", binary("loadgenerator")?.display());
    let command = LOAD.replace("cargo run --release -p loadgenerator -- ", &program);
    let address = shop.all[0].address().await?;
    let said = output_of(&at(&command, &address)).await?;
    ensure!(said.contains("Aggregated"), "{said}");
    shop.stop().await?;
    Ok(())
}

#[tokio::test]
async fn charts_render_and_scenarios_are_listed_as_the_documents_say() -> anyhow::Result<()> {
    let commands = commands_of("docs/kubernetes.md");
    let templates = commands.iter().filter(|command| command.starts_with("helm template "));
    for command in templates {
        ensure!(output_of(command).await?.contains("kind: Deployment"), "{command}");
    }
    ensure!(output_of(SCENARIOS).await?.contains("slow-payment"), "no list");
    Ok(())
}
