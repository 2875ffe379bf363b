//! Arguments, texts and exit statuses of the program that need no daemon.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use std::process::{Command, Output};

fn ldirectord(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ldirectord")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn misuse_shows_the_usage_on_standard_output_and_ends_with_255() {
    for (arguments, complaint) in [
        (&[][..], ""),
        (&["bogus"], ""),
        (&["x.cf", "bogus"], ""),
        (&["start", "-d"], ""),
        (&["--nope", "start"], "Unknown option: nope\n"),
        (&["-dx", "start"], "Unknown option: x\n"),
    ] {
        let output = ldirectord(arguments);
        assert_eq!(output.status.code(), Some(255), "{arguments:?}");
        assert!(text(&output.stdout).starts_with("Usage:\n"), "{arguments:?}");
        assert!(text(&output.stdout).contains("\nOptions:\n"), "{arguments:?}");
        assert_eq!(text(&output.stderr), complaint, "{arguments:?}");
    }
}

#[test]
fn the_version_is_the_original_s_and_help_goes_to_standard_output() {
    for arguments in [["-v"], ["--version"], ["-dv"]] {
        let output = ldirectord(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout).lines().next(), Some("Linux Director v1.186-ha"));
    }
    for arguments in [["-h"], ["-?"], ["--help"]] {
        let output = ldirectord(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Exit status"), "{arguments:?}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn completions_are_scripts_of_each_shell() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef ldirectord"),
        ("fish", "complete -c ldirectord"),
    ] {
        let output = ldirectord(&["--completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(part), "{shell}");
        for command in ["start", "try-restart", "status"] {
            assert!(text(&output.stdout).contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(ldirectord(&["--completions", "csh"]).status.code(), Some(255));
}

#[test]
fn bash_completes_services_and_servers() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("web.cf");
    let text_of_it = "virtual=192.0.2.1:80\n\treal=192.0.2.7:8080 gate\n\treal=192.0.2.8:8080 gate\n\
        virtual6=[2001:db8::1]:80\n\treal6=[2001:db8::2]:80 gate\nvirtual=7\n\treal=192.0.2.7:0 gate\n";
    std::fs::write(&config, text_of_it).unwrap();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_ldirectord")).parent().unwrap();
    // The words as bash has them, at every colon, too.
    let script = r#"
        PATH="$1:$PATH"
        source <(ldirectord --completions bash)
        COMP_LINE="ldirectord $2"
        COMP_POINT=${#COMP_LINE}
        spaced="${COMP_LINE//:/ : }"
        read -ra COMP_WORDS <<<"$spaced"
        if [[ $COMP_LINE == *[[:space:]:] ]]; then COMP_WORDS+=(""); fi
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _ldirectord ldirectord "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}"
    "#;
    let services = "192.0.2.1:80 [2001:db8::1]:80 fwm:7";
    let all = format!("192.0.2.7:8080 192.0.2.8:8080 [2001:db8::2]:80 192.0.2.7:0 {services}");
    for (words, completed) in [
        ("drain ", all.as_str()),
        ("status --down ", &all),
        ("weight 192.0.2.8", "192.0.2.8:8080"),
        ("enable 192.0.2.7:", "8080 0"),
        ("disable 192.0.2.7:8", "8080"),
        ("drain [2001:db8::2", "2]:80"),
        ("drain 192.0.2.8:8080 ", "of"),
        ("drain 192.0.2.8:8080 of ", "192.0.2.1:80"),
        ("status 192.0.2.8 of ", services),
        ("status f", "fwm:7"),
        ("probe web1,192.0.2.8:", "8080"),
        ("probe 192.0.2.8 t", "tcp:192.0.2.1:80 tcp:[2001:db8::1]:80"),
        ("status --j", "--json"),
        ("drain --for 30m --f", "--for --force"),
        ("drai", "drain"),
    ] {
        let line = format!("{} {words}", config.display());
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", script, "bash"]).arg(programs).arg(&line);
        let output = command.output().unwrap();
        assert_eq!(text(&output.stdout).trim_end(), completed, "{words:?} {output:?}");
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn check_tells_what_a_file_means_or_what_is_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.cf");
    let name = file.to_str().unwrap();
    let log = directory.path().join("log");
    let monitor = directory.path().join("monitor");
    let good = format!(
        "logfile=\"{}\"\nvirtual=10.0.0.1:80\n\treal=10.0.0.2:80 gate\n\tmonitorfile={}\n",
        log.display(),
        monitor.display()
    );
    std::fs::write(&file, good).unwrap();
    let output = ldirectord(&["--check", name]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("10.0.0.2:80"));
    assert!(!log.exists() && !monitor.exists(), "nothing is touched");

    std::fs::write(&file, "checkinterval=x\nvirtual=10.0.0.1:80\n\treal=10.0.0.2:80 route\n")
        .unwrap();
    let output = ldirectord(&["--check", name]);
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("at line 1: "), "{errors}");
    assert!(errors.contains("at line 3: "), "all errors are told: {errors}");
    assert!(output.stdout.is_empty());

    std::fs::write(&file, "logfile=\"/nonexistent/log\"\n").unwrap();
    let output = ldirectord(&["--check", name]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("at line 1: unable to open logfile: /nonexistent/log\n"));

    let output = ldirectord(&["--check", "/nonexistent.cf"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "Config file /nonexistent.cf not found\n");
}

#[test]
fn what_is_included_is_found_from_anywhere_and_named_where_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let write =
        |name: &str, text: &[u8]| std::fs::write(directory.path().join(name), text).unwrap();
    let section = "virtual=10.0.0.1:80\n\tuse = web\n\treal=10.0.0.2:80 gate\n";
    write("a.cf", b"include = site.conf\ntemplate = web\n\tchecktype = on\n\tcomment = caf\xe9\n");
    write("site.conf", section.as_bytes());
    let check = |config: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldirectord"));
        command.arg("--check").arg(config).args(more).current_dir(directory.path());
        command.output().unwrap()
    };
    let path = directory.path().join("a.cf");
    for config in ["a.cf", "./a.cf", path.to_str().unwrap()] {
        let output = check(config, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let site = directory.path().join("site.conf");
        let said = format!("tcp 10.0.0.1:80 (line 1 of {})", site.display());
        assert!(text(&output.stdout).contains(&said), "{output:?}");
    }
    let output = check("a.cf", &["--expand"]);
    let expanded =
        b"# include = site.conf\nvirtual=10.0.0.1:80\n\tchecktype = on\n\tcomment = caf\xe9\n\
                     # \tuse = web\n\treal=10.0.0.2:80 gate\n# template = web\n";
    assert_eq!(output.stdout, expanded, "{output:?}");
    write("site.conf", section.replace("gate", "gat").as_bytes());
    for more in [[].as_slice(), &["--expand"]] {
        let output = check("a.cf", more);
        assert_eq!(output.status.code(), Some(2));
        let errors = text(&output.stderr);
        assert!(errors.contains("/site.conf at line 3: forward method must be gate"), "{errors}");
        assert!(errors.contains("/site.conf:3:"), "the line is shown: {errors}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn check_reads_what_is_no_file_and_says_what_is_none() {
    let program = env!("CARGO_BIN_EXE_ldirectord");
    let text_of = |script: String| {
        let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
        (output.status.code(), text(&output.stdout).to_owned() + text(&output.stderr))
    };
    let good = "printf 'virtual=10.0.0.1:80\\n\\treal=10.0.0.2:80 gate\\n\\tchecktype=on\\n'";
    for way in [format!("{good} | {program} --check -"), format!("{program} --check <({good})")] {
        let (status, said) = text_of(way);
        assert!(status == Some(0) && said.contains("10.0.0.2:80"), "{said}");
    }
    let (status, said) = text_of(format!("echo nonsense | {program} --check -"));
    assert_eq!(status, Some(2));
    assert!(
        said.contains("reading file standard input at line 1: Unknown command nonsense"),
        "{said}"
    );
    let (status, said) = text_of(format!("{program} --check /tmp"));
    assert_eq!((status, said.as_str()), (Some(1), "/tmp is a directory\n"));
    let (status, said) = text_of(format!("{program} --check - </dev/null"));
    assert!(
        status == Some(0) && said.contains("there is no virtual service in this file"),
        "{said}"
    );
}

#[test]
fn a_closed_standard_output_is_no_reason_to_panic() {
    let script = format!("{} -h | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_ldirectord"));
    let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_doctor_looks_no_further_than_a_configuration_with_errors() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.cf");
    std::fs::write(&broken, "nonsense\n").unwrap();
    let missing = directory.path().join("missing.cf");
    for (path, part) in [(&broken, "line 1"), (&missing, "not found")] {
        let path = path.to_str().unwrap();
        let output = ldirectord(&[path, "doctor"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stdout).starts_with("ERROR configuration-error\n"), "{output:?}");
        assert!(text(&output.stdout).ends_with("\n1 error\n"), "{output:?}");
        let output = ldirectord(&[path, "doctor", "--json"]);
        assert_eq!(output.status.code(), Some(2));
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(1));
        assert_eq!(list[0]["id"], "configuration-error");
        assert!(list[0]["what"].as_str().unwrap().contains(part), "{list}");
    }
}
