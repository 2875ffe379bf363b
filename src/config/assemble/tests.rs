use super::*;
use crate::config::parse_assembled;

/// Files in memory.
struct Memory(BTreeMap<PathBuf, &'static str>);

impl Library for Memory {
    fn read(&self, path: &Path) -> Result<Source, SourceError> {
        let text = self.0.get(path).ok_or(SourceError::NotAFile)?;
        Ok(Source::from_bytes(text.as_bytes().to_vec()))
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.to_string())?;
        let options =
            glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let matches = |path: &&PathBuf| pattern.matches_path_with(path, options);
        Ok(self.0.keys().filter(matches).cloned().collect())
    }
}

/// `/c/a.cf` and others.
fn assembled(text: &str, others: &[(&str, &'static str)]) -> Assembled {
    let files = others.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
    let source = Source::from_bytes(text.as_bytes().to_vec());
    assemble(Path::new("/c/a.cf"), source, &Memory(files))
}

/// Its expansion, and what is said, line for line.
fn expansion(text: &str, others: &[(&str, &'static str)]) -> (String, Vec<String>) {
    let assembled = assembled(text, others);
    let (_, mut diagnostics) = parse_assembled(&assembled);
    diagnostics.merge_same(&assembled.origins);
    let said = diagnostics.iter().map(|it| {
        let place = it.place.as_ref().expect("a place");
        let shown = &assembled.text[place.span.clone()];
        let more = if it.more > 0 { format!(" +{}", it.more) } else { String::new() };
        format!("{}: {} [{shown}]{more}", assembled.origins.name(place.line), it.text)
    });
    (String::from_utf8(assembled.expanded()).expect("UTF-8"), said.collect())
}

#[track_caller]
fn expands(text: &str, others: &[(&str, &'static str)], expected: &str) {
    let (expansion, said) = expansion(text, others);
    assert_eq!(said, [] as [String; 0]);
    assert_eq!(expansion, expected);
}

#[track_caller]
fn says(text: &str, others: &[(&str, &'static str)], expected: &[&str]) {
    assert_eq!(expansion(text, others).1, expected);
}

#[test]
fn a_configuration_without_them_is_left_as_it_is() {
    expands(
        "virtual = 10.0.0.1:80\n\treal = 10.0.0.2 gate\n\n",
        &[],
        "virtual = 10.0.0.1:80\n\treal = 10.0.0.2 gate\n\n",
    );
}

#[test]
fn files_stand_where_they_are_included_in_the_order_of_their_names() {
    let others = [
        ("/c/d/2.cf", "failurecount = 2\n"),
        ("/c/d/1.cf", "checkinterval = 1\ninclude = ../b.cf\n"),
        ("/c/d/../b.cf", "# nothing\n"),
        ("/c/d/3.no", "x"),
    ];
    expands(
        "quiescent = no\ninclude = \"d/*.cf\" # sites\nquiescent = yes\n",
        &others,
        "quiescent = no\n# include = \"d/*.cf\" # sites\ncheckinterval = 1\n\
         # include = ../b.cf\n# nothing\nfailurecount = 2\nquiescent = yes\n",
    );
    let assembled = assembled("\ninclude = d/*.cf\n\n", &others);
    let names: Vec<_> = (1..=6).map(|line| assembled.origins.name(line)).collect();
    let expected = [
        "line 1",
        "line 2",
        "line 1 of /c/d/1.cf",
        "line 2 of /c/d/1.cf",
        "line 1 of /c/d/../b.cf",
        "line 1 of /c/d/2.cf",
    ];
    assert_eq!(names, expected);
    assert_eq!(assembled.origins.of(7), (Path::new("/c/a.cf"), 3));
    assert!(assembled.included.files.contains_key(Path::new("/c/d/2.cf")));
    assert_eq!(assembled.included.patterns, BTreeSet::from(["/c/d/*.cf".to_owned()]));
}

#[test]
fn no_section_crosses_the_end_of_a_file() {
    let others = [
        ("/c/head.cf", "virtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 gate\n"),
        ("/c/body.cf", "\tservice = http\n"),
    ];
    says(
        "include = head.cf\n\tservice = http\n",
        &others,
        &["line 2: Unknown command \tservice = http\n  [service = http]"],
    );
    says(
        "virtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 gate\ninclude = body.cf\n",
        &others,
        &["line 1 of /c/body.cf: Unknown command \tservice = http\n  [service = http]"],
    );
    says(
        "include = head.cf\ninclude = body.cf\n",
        &others,
        &["line 1 of /c/body.cf: Unknown command \tservice = http\n  [service = http]"],
    );
}

#[test]
fn what_cannot_be_included_is_told_where_it_is_asked_for() {
    let others = [
        ("/c/loop.cf", "include = loop.cf\n"),
        ("/c/cut.cf", "quiescent = n"),
        ("/c/e.cf", "\ninclude = none.cf\n"),
    ];
    let text = "include = none.cf\ninclude =\n\tinclude = e.cf\ninclude = none/*.cf\n\
                include = [\ninclude = cut.cf\ninclude = e.cf\n";
    let expected = [
        "line 1: cannot include /c/none.cf: not a regular file [include = none.cf]",
        "line 2: no file specified [include =]",
        "line 3: Unknown command \tinclude = e.cf\n  [include = e.cf]",
        "line 5: cannot include [: Pattern syntax error near position 3: invalid range pattern [include = []",
        "line 1 of /c/cut.cf: quiescent must be 'yes' or 'no' [n]",
        "line 1 of /c/cut.cf: the last line has no line end [quiescent = n]",
        "line 2 of /c/e.cf: cannot include /c/none.cf: not a regular file [include = none.cf]",
    ];
    says(text, &others, &expected);
    // Files in memory do not know that they are the same.
    let said = expansion("include = loop.cf\n", &others).1;
    let deep = "line 1 of /c/loop.cf: cannot include /c/loop.cf: files include one another more than 8 deep";
    assert!(said.iter().any(|line| line.starts_with(deep)), "{said:?}");
}

#[test]
fn a_section_s_own_lines_come_after_those_of_its_templates() {
    let text = "\
virtual = 10.0.0.1:80
	service = http
	use = web, slow # both
	real = 10.0.0.2:80 gate
template = web
	use = base
	request = \"index.html\"

	# what it says
	receive = \"OK\"
template = slow
	checkinterval = 60
	use = base
quiescent = yes
template = base
    scheduler = rr
";
    let expected = "\
virtual = 10.0.0.1:80
    scheduler = rr
	request = \"index.html\"

	# what it says
	receive = \"OK\"
	checkinterval = 60
	service = http
# 	use = web, slow # both
	real = 10.0.0.2:80 gate
# template = web
# template = slow
quiescent = yes
# template = base
";
    expands(text, &[], expected);
    let assembled = assembled(text, &[]);
    let (ast, _) = parse_assembled(&assembled);
    let names: Vec<_> = ast.sections[0].directives.iter().map(|it| it.row.name).collect();
    assert_eq!(names, ["scheduler", "request", "receive", "checkinterval", "service"]);
    assert_eq!(assembled.origins.name(3), "line 7");
}

#[test]
fn templates_of_an_included_file_are_everybodys() {
    let others = [("/c/t.cf", "template = web\n\tscheduler = rr\n")];
    let section = "virtual = 10.0.0.1:80\n\tuse = web\n\treal = 10.0.0.2:80 gate\n";
    expands(
        &format!("{section}include = t.cf\n"),
        &others,
        "virtual = 10.0.0.1:80\n\tscheduler = rr\n# \tuse = web\n\treal = 10.0.0.2:80 gate\n\
         # include = t.cf\n# template = web\n",
    );
}

#[test]
fn what_is_wrong_with_templates_is_told_once() {
    let section =
        |port| format!("virtual = 10.0.0.1:{port}\n\tuse = web\n\treal = 10.0.0.2:80 gate\n");
    let text = format!(
        "template = web\n\tchecktype = nope\n{}{}{}use = web\n",
        section(80),
        section(81),
        section(82)
    );
    let wrong = "line 2: checktype must be \"connect\", \"negotiate\", \"on\", \"off\", \"ping\", \
                 \"external\", \"external-perl\" or a positive number [nope] +2";
    says(&text, &[], &[wrong, "line 12: Unknown command use = web\n  [use]"]);
    let text = "\
template = two words
	nothing of this is looked at
template = a
	use = b
template = b
	use = a
template = a
	x
template = unused
virtual = 10.0.0.1:80
	use = a
	use = none
	use =
	real = 10.0.0.2:80 gate
	template = c
";
    let expected = [
        "line 1: a template has a name of letters, digits, _, - and . [template = two words]",
        "line 7: template a is defined already, at line 3 [template = a]",
        "line 9: no virtual service uses template unused [template = unused]",
        "line 11: template a uses itself [\tuse = a]",
        "line 12: there is no template none [\tuse = none]",
        "line 13: no template specified [\tuse =]",
        "line 15: Unknown command \"\ttemplate = c\n\" [template]",
    ];
    says(text, &[], &expected);
}

#[test]
fn a_short_text_does_not_make_a_long_one() {
    use std::fmt::Write;
    let mut text = String::new();
    for number in 0..100 {
        let _ = writeln!(text, "template = t{number}\n\tuse = t{}, t{}", number + 1, number + 2);
    }
    text.push_str(
        "template = t100\ntemplate = t101\nvirtual = 10.0.0.1:80\n\tuse = t0\n\tuse = t95\n",
    );
    let said = expansion(&text, &[]).1;
    assert!(said.iter().any(|line| line.contains("more than 8 deep")), "{said:?}");
    let long = format!("template = t\n\tcomment = {}\n", "x".repeat(1 << 20));
    let sections = "virtual = 10.0.0.1:80\n\tuse = t\n".repeat(100);
    let said = expansion(&format!("{long}{sections}"), &[]).1;
    assert!(said.iter().any(|line| line.contains("larger than 64 MiB")), "{said:?}");
}
