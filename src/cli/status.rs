//! What may follow `status`.

use super::{Misuse, StatusForm, StatusView};
use crate::status::{Filter, address_word};
use clap::{Arg, ArgAction};
use std::ffi::OsString;

/// The options, for completions.
pub(super) fn options() -> Vec<Arg> {
    let options = [
        ("table", "Every service and real server, trouble first"),
        ("watch", "The same, again each second, with what has changed marked"),
        ("down", "Only what is down"),
        ("json", "The same for programs"),
        ("metrics", "What is known and counted, as Prometheus reads it"),
        ("listing", "The table in the form of ipvsadm -Ln"),
    ];
    let option = |(name, help): (&'static str, &'static str)| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    options.into_iter().map(option).collect()
}

/// What the words behind `status` ask for.
// compat: words that follow a command are ignored (spec 1.4), unless they are options of ours or
// clearly an address
pub(super) fn parse(rest: &[&OsString]) -> Result<StatusView, Misuse> {
    let ours = rest.iter().any(|word| super::is_option(word));
    let mut filter = Filter::default();
    let mut form = None;
    let mut watch = false;
    let mut words = rest.iter().map(|word| word.to_str().unwrap_or_default());
    while let Some(word) = words.next() {
        let chosen = match word {
            "--down" => {
                filter.down = true;
                continue;
            }
            "--watch" => {
                watch = true;
                continue;
            }
            "--table" => StatusForm::Table,
            "--json" => StatusForm::Json,
            "--listing" => StatusForm::Listing,
            "--metrics" => StatusForm::Metrics,
            option if option.starts_with("--") => {
                let name = option.trim_start_matches('-');
                return Err(Misuse(Some(format!("Unknown option: {name}"))));
            }
            "of" if ours || !filter.named.is_empty() => {
                let service = words.next().and_then(address_word);
                let none = || misuse("what follows \"of\" is a virtual service");
                filter.of = Some(service.ok_or_else(none)?);
                continue;
            }
            word => {
                match address_word(word) {
                    Some(address) => filter.named.push(address),
                    None if ours => {
                        return Err(misuse(&format!(
                            "{word} is no address of a real server or virtual service; a mark is \
                             fwm:{}",
                            if word.parse::<u32>().is_ok() { word } else { "7" }
                        )));
                    }
                    None => {}
                }
                continue;
            }
        };
        if form.is_some_and(|form| form != chosen) {
            return Err(misuse("one of --table, --json, --listing, --metrics"));
        }
        form = Some(chosen);
    }
    let form = match (form, watch) {
        (None | Some(StatusForm::Table), true) => StatusForm::Watch,
        (Some(_), true) => return Err(misuse("--watch shows a table")),
        (None, false) if filter.is_empty() => StatusForm::Brief,
        (None, false) => StatusForm::Table,
        (Some(StatusForm::Listing), false) if !filter.is_empty() => {
            return Err(misuse("--listing shows everything"));
        }
        (Some(StatusForm::Metrics), false) if !filter.is_empty() => {
            return Err(misuse("--metrics shows everything"));
        }
        (Some(form), false) => form,
    };
    Ok(StatusView { form, filter })
}

fn misuse(words: &str) -> Misuse {
    Misuse(Some(format!("status: {words}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(line: &str) -> Result<StatusView, String> {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        let words: Vec<&OsString> = words.iter().collect();
        parse(&words).map_err(|Misuse(message)| message.unwrap_or_default())
    }

    fn shown(form: StatusForm, named: &[&str], of: Option<&str>, down: bool) -> StatusView {
        let named = named.iter().map(|&word| word.to_owned()).collect();
        StatusView { form, filter: Filter { named, of: of.map(Into::into), down } }
    }

    #[test]
    fn an_address_or_an_option_asks_for_the_table() {
        use StatusForm::{Brief, Json, Listing, Table, Watch};
        for (line, expected) in [
            ("", shown(Brief, &[], None, false)),
            ("stop now 7 of 80", shown(Brief, &[], None, false)),
            ("10.0.0.2:80", shown(Table, &["10.0.0.2:80"], None, false)),
            ("please 10.0.0.2", shown(Table, &["10.0.0.2"], None, false)),
            ("10.0.0.1:80 --down", shown(Table, &["10.0.0.1:80"], None, true)),
            ("--down", shown(Table, &[], None, true)),
            ("--table", shown(Table, &[], None, false)),
            ("--json --down fwm:7", shown(Json, &["fwm:7"], None, true)),
            ("--json --json", shown(Json, &[], None, false)),
            ("--listing", shown(Listing, &[], None, false)),
            ("--watch", shown(Watch, &[], None, false)),
            (
                "[fd00:0::2]:80 of tcp:10.0.0.1:80 --table --watch",
                shown(Watch, &["[fd00::2]:80"], Some("tcp:10.0.0.1:80"), false),
            ),
        ] {
            assert_eq!(view(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, words) in [
            ("--nope", "Unknown option: nope"),
            ("10.0.0.2 --nope", "Unknown option: nope"),
            ("--json --table", "status: one of --table, --json, --listing, --metrics"),
            ("--json --watch", "status: --watch shows a table"),
            ("--listing --down", "status: --listing shows everything"),
            ("--down of", "status: what follows \"of\" is a virtual service"),
            (
                "--down 8",
                "status: 8 is no address of a real server or virtual service; a mark is fwm:8",
            ),
            (
                "--down web1",
                "status: web1 is no address of a real server or virtual service; a mark is fwm:7",
            ),
        ] {
            assert_eq!(view(line), Err(words.to_owned()), "{line}");
        }
    }
}
