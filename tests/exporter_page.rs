//! The exporter's page in a real Chromium: exporter/tests/browser/page.mjs, with the daemons and servers that it
//! asks for. Its screenshots are in target/screenshots; `make screenshots` puts them into the exporter's README.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is all test code")]

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/sandbox.rs"]
mod sandbox;

use exporter::Exporter;
use sandbox::{Ran, Sandbox, wait_for};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SERVER: &str = r#"use IO::Socket::INET;
my ($address, $status) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => $address, Listen => 50, ReuseAddr => 1) or die $@;
while (my $client = $server->accept) { <$client> and print $client "HTTP/1.0 $status\r\n\r\nfine\n" }
"#;

fn config(hook: &str) -> String {
    format!(
        "checkinterval=1
fallbackcommand={hook}
virtual=10.9.0.1:80
    real=127.0.0.11:8001 masq
    real=127.0.0.12:8001 masq
    fallback=127.0.0.1:8009 masq
    checktype=connect
virtual=10.9.0.2:80
    real=127.0.0.13:8001 gate 2
    real=127.0.0.14:8001 gate 3
    service=http
    request=\"/\"
    receive=\"fine\"
"
    )
}

struct Machine {
    sandbox: Sandbox,
    exporter: Option<Exporter>,
}

impl Machine {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("server.pl", SERVER);
        let hook = sandbox.program("announce", "[ \"$1\" != start ]");
        fs::write(sandbox.seen("/etc/ha.d/web.cf"), config(&hook)).unwrap();
        let exporter = Some(Exporter::start(&sandbox.seen("/run/ldirectord-rs")));
        let machine = Self { sandbox, exporter };
        (1..=4).for_each(|number| machine.serve(number, "200 OK"));
        machine.sandbox.ldirectord("--table memory web.cf start").expect(0, "", "");
        machine.wait(4, "\"state\":\"up\"");
        machine
    }

    fn serve(&self, number: u8, status: &str) {
        let address = format!("127.0.0.1{number}:8001");
        let script =
            format!("perl server.pl {address} '{status}' >/dev/null 2>&1 & sleep 0.1; kill -0 $!");
        self.sandbox.shell(&script).succeeds();
    }

    fn kill(&self, number: u8) {
        self.sandbox.shell(&format!("pkill -f 127[.]0[.]0[.]1{number}:8001")).succeeds();
    }

    /// Until the exporter tells this so often.
    fn wait(&self, times: usize, what: &str) {
        let exporter = self.exporter.as_ref().unwrap();
        wait_for(what, || exporter.get("/status.json").matches(what).count() == times);
    }

    fn act(&mut self, what: &str) {
        match what {
            "kill 1" => self.kill(1),
            "start 1" => self.serve(1, "200 OK"),
            "hostile" => {
                // Before the other one is seen down: the last server is not drained.
                let mut drain = self.sandbox.command(sandbox::PROGRAM);
                let reason = "<img src=x onerror=document.hacked=1>";
                drain.args(["web.cf", "drain", "127.0.0.13", "--reason", reason]);
                Ran::new(&mut drain).succeeds();
                self.kill(4);
                self.serve(4, "500 <script>document.hacked=1</script>");
            }
            "bad" => {
                self.kill(1);
                self.kill(2);
                self.wait(3, "\"state\":\"down\"");
                fs::write(self.sandbox.seen("/etc/ha.d/web.cf"), "virtual=nonsense\n").unwrap();
                self.sandbox.signal("web.cf", "HUP");
            }
            "crowd" => {
                let mut text = String::new();
                for service in 0..40 {
                    text += &format!("virtual=10.8.{service}.1:80\n");
                    for server in 1..=250 {
                        text += &format!("    real=127.2.{service}.{server}:80 masq\n");
                    }
                    text += "    checktype=on\n";
                }
                fs::write(self.sandbox.seen("/etc/ha.d/crowd.cf"), text).unwrap();
                self.sandbox.ldirectord("--table memory crowd.cf start").expect(0, "", "");
                self.wait(10_000, "\"address\":\"127.2.");
            }
            "down" => assert!(self.exporter.take().unwrap().end().success()),
            _ => panic!("what is {what}?"),
        }
    }
}

/// Where the browser's library is installed.
fn library() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("exporter/tests/browser");
    let target = root.join("target/browser");
    fs::create_dir_all(&target).unwrap();
    for file in ["package.json", "package-lock.json", "page.mjs"] {
        fs::copy(source.join(file), target.join(file)).unwrap();
    }
    let mut packages = vec!["chromium"];
    let missing = |program| {
        !std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .any(|path| path.join(program).exists())
    };
    packages.extend(["nodejs", "npm"].into_iter().filter(|_| missing("node") || missing("npm")));
    let installed = Command::new(root.join("tests/deps")).args(packages).status().unwrap();
    assert!(installed.success(), "the page's tests need chromium, nodejs and npm");
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
    let installed = Command::new("npm").args(npm).current_dir(&target).status().unwrap();
    assert!(installed.success(), "npm ci");
    target
}

fn browser(url: &str) -> Child {
    let screenshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    Command::new("node")
        .arg("page.mjs")
        .arg(url)
        .arg(screenshots)
        .current_dir(library())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn the_page_in_a_browser() {
    let mut machine = Machine::new();
    let url = format!("http://{}/", machine.exporter.as_ref().unwrap().address);
    let mut browser = browser(&url);
    let mut answers = browser.stdin.take().unwrap();
    let mut story = String::new();
    for line in BufReader::new(browser.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(what) = line.strip_prefix("do: ") {
            machine.act(what);
            writeln!(answers, "done").unwrap();
        } else {
            println!("{line}");
            story += &format!("{line}\n");
        }
    }
    let ended = browser.wait().unwrap();
    assert!(ended.success() && story.contains(" passed, 0 failed"), "{ended}:\n{story}");
}
