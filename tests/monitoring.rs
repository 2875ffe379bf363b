//! What is in examples/monitoring, with the programs that it is for: promtool, Prometheus, nginx, Zabbix's agent.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{PROGRAM, Ran, Sandbox, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/monitoring");

const CONFIG: &str = "checkinterval=1
quiescent=no
virtual=10.9.0.1:80
    real=127.0.0.2:8001 masq
    real=127.0.0.3:8001 masq
    fallback=127.0.0.1:81 masq
    checktype=connect
virtual=10.9.0.2:80
    real=127.0.0.4:80 masq
    checktype=on
";

/// A director with both of its servers up, and `ldirectord` on the path.
fn machine() -> Sandbox {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let packages = ["prometheus", "jq", "nginx-light", "zabbix-agent", "openssl", "curl"];
        let deps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deps");
        assert!(Command::new(deps).args(packages).status().unwrap().success(), "{packages:?}");
    });
    let machine = Sandbox::new();
    machine.program("ldirectord", &format!("exec {PROGRAM} \"$@\""));
    machine.write(
        "server.pl",
        "use IO::Socket::INET;
         my $server = IO::Socket::INET->new(LocalAddr => $ARGV[0], Listen => 50, ReuseAddr => 1) or die $@;
         close $_ while $_ = $server->accept;",
    );
    serve(&machine, 2);
    serve(&machine, 3);
    fs::write(machine.seen("/etc/ha.d/web.cf"), CONFIG).unwrap();
    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for("the servers", || states(&machine) == "up up up");
    machine
}

fn states(machine: &Sandbox) -> String {
    let report = machine.ldirectord("web.cf status --json").stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    let services = report["services"].as_array().unwrap().iter();
    let servers = services.flat_map(|service| service["servers"].as_array().unwrap());
    servers.map(|server| server["state"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn serve(machine: &Sandbox, number: u8) {
    run(
        machine,
        &format!("perl server.pl 127.0.0.{number}:8001 >/dev/null 2>&1 & sleep 0.1; kill -0 $!"),
    );
}

fn kill(machine: &Sandbox, number: u8) {
    run(machine, &format!("pkill -f 127[.]0[.]0[.]{number}:8001"));
}

/// A line of the shell, in the folder with `ldirectord`; what it prints.
#[track_caller]
fn run(machine: &Sandbox, script: &str) -> String {
    shell(machine, script).succeeds().stdout
}

fn shell(machine: &Sandbox, script: &str) -> Ran {
    machine.shell(&format!("PATH=$PWD:/usr/sbin:$PATH; {script}"))
}

/// Names of our metrics in an expression.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("ldirectord_"));
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

/// What is queried by the dashboard and the alerts.
fn queries() -> Vec<String> {
    let dashboard = fs::read_to_string(format!("{EXAMPLES}/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut queries: Vec<String> = targets
        .map(|target| {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            query.replace("$instance", ".*").replace("$config", ".*").replace("$service", ".*")
        })
        .collect();
    let alerts = fs::read_to_string(format!("{EXAMPLES}/alerts.yml")).unwrap();
    for line in alerts.lines() {
        if let Some(query) = line.trim().strip_prefix("expr: ") {
            queries.push(serde_json::from_str(query).unwrap());
        }
    }
    assert!(queries.len() > 25, "{queries:?}");
    queries
}

#[test]
fn promtool_finds_nothing_and_the_alerts_pass_their_tests() {
    let machine = machine();
    kill(&machine, 2);
    wait_for("the death", || states(&machine) == "down up up");
    let said = shell(
        &machine,
        "ldirectord web.cf status --metrics >metrics && promtool check metrics <metrics",
    );
    said.expect(0, "", "");
    run(&machine, &format!("promtool check config {EXAMPLES}/prometheus.yml"));
    run(&machine, &format!("cd {EXAMPLES} && promtool test rules alerts.test.yml"));
    let metrics = names(&machine.read("metrics"));
    for query in queries() {
        // Counted only once there is something to count.
        let rare = [
            "ldirectord_hook_runs_total",
            "ldirectord_hook_last_run_successful",
            "ldirectord_real_server_certificate_end_timestamp_seconds",
        ];
        for name in names(&query) {
            assert!(metrics.contains(&name) || rare.contains(&&*name), "{name} in {query}");
        }
    }
}

#[test]
fn prometheus_scrapes_the_exporter_and_answers_every_query() {
    let machine = machine();
    let exporter = exporter::program().display();
    run(&machine, &format!("setsid {exporter} >exporter.log 2>&1 &"));
    run(
        &machine,
        &format!(
            "mkdir data; setsid prometheus --config.file={EXAMPLES}/prometheus.yml --storage.tsdb.path=data \
             --web.listen-address=127.0.0.1:9090 >prometheus.log 2>&1 &"
        ),
    );
    let ask = |query: &str| -> Value {
        let url = "http://127.0.0.1:9090/api/v1/query";
        let mut curl = machine.command("curl");
        curl.args(["--silent", "--get", url, "--data-urlencode", &format!("query={query}")]);
        serde_json::from_str(&Ran::new(&mut curl).stdout).unwrap_or(Value::Null)
    };
    wait_for("a scrape", || {
        let up = ask("sum(ldirectord_real_server_up{config=\"web.cf\"})");
        up["data"]["result"][0]["value"][1] == "3"
    });
    for query in queries() {
        let answer = ask(&query);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
    }
    // Its labels are those of node_exporter's collector for ipvs, so that both join.
    let joined = ask(
        "count by (local_address, local_port, remote_address, remote_port, proto) (ldirectord_real_server_up)",
    );
    assert_eq!(joined["data"]["result"].as_array().unwrap().len(), 3, "{joined}");
}

#[test]
fn check_ldirectord_ends_and_speaks_as_nagios_expects() {
    let machine = machine();
    let check =
        |arguments: &str| shell(&machine, &format!("{EXAMPLES}/check_ldirectord {arguments}"));
    let data = |up, down, fallbacks| {
        format!(
            "|'up'={up};;;0;3 'down'={down};1;;0 'maintenance'=0;;;0 'fallbacks'={fallbacks};;;0 'drift'=0;;;0\n"
        )
    };
    check("-c web.cf").expect(0, &format!("OK - 3 of 3 servers up{}", data(3, 0, 0)), "");
    kill(&machine, 2);
    wait_for("the death", || states(&machine) == "down up up");
    check("-c web.cf").expect(1, &format!("WARNING - down: 127.0.0.2:8001{}", data(2, 1, 0)), "");
    let tolerant = check("-c web.cf -w 2");
    assert_eq!(tolerant.status, 0, "{tolerant:?}");
    let strict = check("-c web.cf -w 1 -C 1");
    assert_eq!(
        (strict.status, strict.stdout.starts_with("CRITICAL - 1 servers down")),
        (2, true),
        "{strict:?}"
    );
    kill(&machine, 3);
    wait_for("the other death", || states(&machine) == "down down up");
    let critical = check("-c web.cf");
    assert_eq!(critical.status, 2, "{critical:?}");
    assert!(
        critical.stdout.starts_with("CRITICAL - 10.9.0.1:80 has no server up; "),
        "{critical:?}"
    );
    assert!(critical.stdout.ends_with(&data(1, 2, 1)), "{critical:?}");
    machine.ldirectord("web.cf stop").succeeds();
    wait_for("its end", || !machine.has_pid_file("web.cf"));
    check("-c web.cf").expect(2, "CRITICAL - no daemon answers\n", "");
    for nonsense in ["", "-c", "-c web.cf -w 0", "-c web.cf -w x", "-c -x", "-c web.cf more", "-z"]
    {
        let ran = check(nonsense);
        assert_eq!(
            (ran.status, ran.stdout.starts_with("UNKNOWN - ")),
            (3, true),
            "{nonsense}: {ran:?}"
        );
    }
}

#[test]
fn the_textfile_is_whole_and_says_when_nobody_answers() {
    let machine = machine();
    let script = format!("{EXAMPLES}/ldirectord-textfile web.cf .");
    run(&machine, &script);
    let file = "ldirectord-web.cf.prom";
    assert!(
        machine.read(file).contains("ldirectord_up{config=\"web.cf\"} 1\n"),
        "{}",
        machine.read(file)
    );
    run(&machine, &format!("promtool check metrics <{file}; [ $(stat -c %a {file}) = 644 ]"));
    machine.ldirectord("web.cf stop").succeeds();
    wait_for("its end", || !machine.has_pid_file("web.cf"));
    run(&machine, &script);
    assert!(
        machine.read(file).contains("ldirectord_up{config=\"web.cf\"} 0\n"),
        "{}",
        machine.read(file)
    );
    assert_eq!(run(&machine, "ls -A | grep -c part || true"), "0\n");
}

#[test]
fn zabbix_s_agent_gets_numbers() {
    let machine = machine();
    machine.write(
        "agent.conf",
        &format!("AllowRoot=1\nServer=127.0.0.1\nInclude={EXAMPLES}/zabbix.conf\n"),
    );
    let item = |key: &str| {
        let said = run(&machine, &format!("zabbix_agentd -c $PWD/agent.conf -t '{key}'"));
        let (_, value) = said.rsplit_once("[t|").unwrap_or_else(|| panic!("{key}: {said}"));
        value.trim_end().trim_end_matches(']').to_owned()
    };
    assert_eq!(item("ldirectord.answers[web.cf]"), "1");
    assert_eq!(item("ldirectord.answers[none.cf]"), "0");
    let found = item("ldirectord.discovery[web.cf]");
    assert!(found.contains("{\"{#SERVICE}\":\"tcp:10.9.0.1:80\"}"), "{found}");
    kill(&machine, 2);
    wait_for("the death", || states(&machine) == "down up up");
    for (key, value) in [("up", "1"), ("down", "1"), ("fallback", "0")] {
        assert_eq!(item(&format!("ldirectord.{key}[web.cf,tcp:10.9.0.1:80]")), value, "{key}");
    }
}

#[test]
fn nginx_asks_for_a_password_and_passes_changes_on() {
    let machine = machine();
    let exporter = exporter::program().display();
    run(&machine, &format!("setsid {exporter} >exporter.log 2>&1 &"));
    run(
        &machine,
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=director.example.com -days 2 \
            -keyout key.pem -out cert.pem 2>/dev/null
         printf 'prometheus:%s\\n' \"$(openssl passwd -apr1 secret)\" >passwords
         chmod 644 passwords",
    );
    let example = fs::read_to_string(format!("{EXAMPLES}/nginx.conf")).unwrap();
    let site = example
        .replace("/etc/ssl/certs/director.pem", &machine.path("cert.pem"))
        .replace("/etc/ssl/private/director.key", &machine.path("key.pem"))
        .replace("/etc/nginx/ldirectord.htpasswd", &machine.path("passwords"));
    let folder = machine.path("");
    machine.write(
        "nginx.conf",
        &format!("pid {folder}nginx.pid;\nerror_log {folder}error.log;\nevents {{}}\nhttp {{ access_log off;\n{site}}}\n"),
    );
    run(&machine, "nginx -c $PWD/nginx.conf");
    let curl = |arguments: &str| {
        let fixed = "curl --silent --cacert cert.pem --resolve director.example.com:9913:127.0.0.1";
        shell(&machine, &format!("{fixed} {arguments}")).stdout
    };
    let page = "https://director.example.com:9913";
    let status = "--output /dev/null --write-out '%{http_code}'";
    assert_eq!(curl(&format!("{status} {page}/metrics")), "401");
    let metrics = curl(&format!("--user prometheus:secret {page}/metrics"));
    assert!(metrics.contains("ldirectord_up{config=\"web.cf\"} 1\n"), "{metrics}");
    assert_eq!(curl(&format!("--user prometheus:secret -X POST {status} {page}/")), "403");
    // A change comes at once, not when a buffer is full.
    let told = "(sleep 2; kill -0 $$; pkill -f 127[.]0[.]0[.]2:8001) >/dev/null & \
                timeout 20 curl --silent --no-buffer --cacert cert.pem --user prometheus:secret \
                --resolve director.example.com:9913:127.0.0.1 https://director.example.com:9913/changes | grep -m 1 update";
    assert_eq!(run(&machine, told), "event: update\n");
}
