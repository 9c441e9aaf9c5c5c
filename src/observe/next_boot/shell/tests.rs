//! What is understood of the shell's language, held against a real shell.

#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn after(text: &str) -> Variables {
    let mut variables = Variables::new(true);
    variables.run(&File::new("/etc/default/grub", text.as_bytes().to_vec()), &|_| None);
    variables
}

fn line(text: &str) -> Result<String, String> {
    let value = after(text).get("GRUB_CMDLINE_LINUX").map_err(|unknown| unknown.to_string())?;
    Ok(String::from_utf8(value.iter().map(|piece| piece.byte).collect()).unwrap())
}

#[test]
fn assignments_quotes_appends_and_comments_are_understood() {
    for (text, value) in [
        ("GRUB_CMDLINE_LINUX=quiet", "quiet"),
        ("GRUB_CMDLINE_LINUX=\"a b\" # c\n", "a b"),
        ("GRUB_CMDLINE_LINUX='a \"b\"'\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX c\"", "a \"b\" c"),
        ("GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX+=\" b\"", "a b"),
        ("A=x\nexport A\nGRUB_CMDLINE_LINUX=\"${A}y\\$z\"; B=2", "xy$z"),
        ("X=\"$(sed 's, r .*$,,g' /etc/system-release)\"\nGRUB_CMDLINE_LINUX=a", "a"),
        ("GRUB_CMDLINE_LINUX=a\\\nb", "ab"),
        ("GRUB_CMDLINE_LINUX=a\nif [ x = y ]; then\n  echo b\nfi\n", "a"),
        ("GRUB_CMDLINE_LINUX=a\nif [ x = y ]; then X=1; elif true; then echo; else Y=2\nfi", "a"),
        ("GRUB_CMDLINE_LINUX=a\ncase x in x) X=1;; *) Y=2;; esac", "a"),
        ("GRUB_CMDLINE_LINUX=a # b\\\n# GRUB_CMDLINE_LINUX=c", "a"),
        ("GRUB_CMDLINE_LINUX=a echo b", ""),
        ("GRUB_CMDLINE_LINUX=\"a\" GRUB_TIMEOUT=5\n", "a"),
        ("", ""),
    ] {
        assert_eq!(line(text), Ok(value.to_owned()), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_unknown_with_its_line() {
    for (text, number) in [
        ("GRUB_CMDLINE_LINUX=a\nif true; then GRUB_CMDLINE_LINUX=b; fi", 2),
        ("\ntrue && GRUB_CMDLINE_LINUX=b", 2),
        ("GRUB_CMDLINE_LINUX=a\neval x", 2),
        ("GRUB_CMDLINE_LINUX=$(cat /x)", 1),
        ("GRUB_CMDLINE_LINUX=`cat /x`", 1),
        ("GRUB_CMDLINE_LINUX=\"${X:-a}\"", 1),
        ("GRUB_CMDLINE_LINUX=$HOME", 1),
        ("f() { GRUB_CMDLINE_LINUX=x; }\nf", 1),
        ("GRUB_CMDLINE_LINUX=a\n\ncat <<E\nx\nE", 3),
        ("GRUB_CMDLINE_LINUX=\"a", 1),
        ("GRUB_CMDLINE_LINUX=a\nif true; then", 2),
        ("GRUB_CMDLINE_LINUX=a\n. /etc/other", 2),
        ("GRUB_CMDLINE_LINUX=a\nexit 0\nGRUB_CMDLINE_LINUX=b", 2),
        ("GRUB_CMDLINE_LINUX=a\nfi", 2),
        ("for GRUB_CMDLINE_LINUX in a b; do :; done", 1),
        ("GRUB_CMDLINE_LINUX=a | cat", 1),
        ("( GRUB_CMDLINE_LINUX=a )", 1),
        ("GRUB_CMDLINE_LINUX=a &", 1),
    ] {
        let unknown = line(text).unwrap_err();
        assert!(unknown.starts_with(&format!("/etc/default/grub, line {number}: ")), "{text}: {unknown}");
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "[A-Z_=\"'$`(){};&|<>\\\\\n #a-z+.]{0,120}") {
        let _ = line(&format!("GRUB_CMDLINE_LINUX=a\n{text}\n"));
    }

    // The shell finds no programs: what is behind an unquoted blank is only looked for.
    #[test]
    fn what_a_shell_makes_of_it_is_what_is_read(value in "[a-z =.,:_\"'\\\\$-]{0,24}", quote in 0..3) {
        let text = match quote {
            0 => format!("GRUB_CMDLINE_LINUX=\"{value}\""),
            1 => format!("GRUB_CMDLINE_LINUX='{value}'"),
            _ => format!("GRUB_CMDLINE_LINUX={value}"),
        };
        if let Ok(read) = line(&text) {
            let script = format!("{text}\nprintf '%s' \"$GRUB_CMDLINE_LINUX\"");
            let mut shell = std::process::Command::new("/bin/sh");
            let shell = shell.arg("-c").arg(&script).env_clear().env("PATH", "/nonexistent");
            let output = shell.output().unwrap();
            if output.status.success() {
                prop_assert_eq!(read, String::from_utf8(output.stdout).unwrap(), "{}", text);
            }
        }
    }
}
