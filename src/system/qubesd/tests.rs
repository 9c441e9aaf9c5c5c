//! The client against a qubesd that replays recordings, whole, in pieces and wrong.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::model::{self, bytes_of, recorded_events, QubesdFault, QUBES_42, QUBES_43};
use super::wire::{answer, request, Feed, EVENT_MAX};
use super::{Event, Qubesd, QubesdRefusal};
use crate::error::{Code, Exit};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A served model, gone with the value.
struct Served {
    model: model::Qubesd,
    client: Qubesd,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.client.socket);
    }
}

fn served(transcript: &str) -> Served {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("qubesd-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let socket: PathBuf = std::env::temp_dir().join(name);
    let model = model::Qubesd::replaying(transcript);
    model.serve(&socket);
    Served { model, client: Qubesd { socket, patience: Duration::from_millis(1500) } }
}

#[test]
fn the_answer_is_the_same_wherever_it_is_cut() {
    for transcript in [QUBES_42, QUBES_43] {
        let served = served(transcript);
        let ask = || served.client.call("admin.vm.List", "", "dom0", b"").unwrap();
        let whole = ask();
        assert!(whole.ends_with(b"\n"));
        for at in 0..whole.len() + 2 {
            served.model.fails(QubesdFault::CutAt(at));
            assert_eq!(ask(), whole, "cut at {at}");
        }
        served.model.fails(QubesdFault::ByteByByte);
        assert_eq!(ask(), whole);
    }
}

#[test]
fn what_qubesd_says_against_it_is_told_as_it_says_it() {
    let served = served(QUBES_43);
    let failure = served.client.call("admin.vm.property.Get", "label", "nosuchvm", b"").unwrap_err();
    assert_eq!((failure.exit, failure.code), (Exit::Io, Code::QubesdException));
    assert!(failure.message.ends_with("QubesVMNotFoundError: No such domain: 'nosuchvm'"), "{failure}");
    let failure = served.client.call("admin.vm.NoSuchMethod", "", "dom0", b"").unwrap_err();
    assert_eq!((failure.exit, failure.code), (Exit::Io, Code::QubesdRefused));
}

#[test]
fn a_qubesd_that_goes_wrong_is_an_error_and_never_a_wait() {
    let served = served(QUBES_43);
    for (fault, code) in [
        (QubesdFault::Silent, Code::QubesdSilent),
        (QubesdFault::Refuses, Code::QubesdRefused),
        (QubesdFault::Nonsense, Code::QubesdNonsense),
        (QubesdFault::Endless, Code::QubesdNonsense),
        (QubesdFault::EndsAt(0), Code::QubesdRefused),
        (QubesdFault::EndsAt(1), Code::QubesdNonsense),
    ] {
        served.model.fails(fault);
        let start = Instant::now();
        let failure = served.client.call("admin.vm.List", "", "dom0", b"").unwrap_err();
        assert_eq!((failure.exit, failure.code), (Exit::Io, code), "{fault:?}: {failure}");
        assert!(start.elapsed() < Duration::from_secs(5), "{fault:?}");
    }
}

#[test]
fn a_daemon_whose_queue_is_full_is_not_waited_for() {
    let served = served(QUBES_43);
    let socket = served.client.socket.with_extension("full");
    // Nobody takes the connections.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let client = Qubesd { socket: socket.clone(), patience: Duration::from_millis(300) };
    let start = Instant::now();
    let mut waiting = Vec::new();
    let failure = loop {
        match client.events() {
            Ok(stream) => waiting.push(stream),
            Err(failure) => break failure,
        }
        assert!(waiting.len() < 100_000);
    };
    assert_eq!(failure.code, Code::QubesdSilent);
    assert!(start.elapsed() < Duration::from_secs(20));
    std::fs::remove_file(socket).unwrap();
}

#[test]
fn without_a_daemon_it_says_so() {
    let client = Qubesd { socket: "/nowhere/qubesd.sock".into(), patience: Duration::from_secs(1) };
    assert!(!client.is_there());
    let failure = client.call("admin.vm.List", "", "dom0", b"").unwrap_err();
    assert_eq!((failure.exit, failure.code), (Exit::NotDom0, Code::NoQubesd));
    assert_eq!(client.events().unwrap_err().code, Code::NoQubesd);
}

#[test]
fn a_word_that_would_end_the_request_early_is_never_sent() {
    for word in ["a b", "a\0b", "a\nb", "\u{e9}"] {
        assert_eq!(request(word, "", "dom0", b""), None);
        assert_eq!(request("m", word, "dom0", b""), None);
        assert_eq!(request("m", "", word, b""), None);
    }
    assert_eq!(request("m", "", "", b""), None);
    assert_eq!(request("m", "a", "q", b"p\0").unwrap(), b"m+a dom0 name q\0p\0");
}

#[test]
fn events_come_through_a_descriptor_that_can_be_polled() {
    let served = served(QUBES_43);
    let mut stream = served.client.events().unwrap();
    let wait = |stream: &super::EventStream| {
        let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(5000u16)), Ok(1));
    };
    wait(&stream);
    assert_eq!(stream.read().unwrap()[0].name, b"connection-established");
    assert_eq!(stream.read().unwrap(), []);
    served.model.tells(b"1\0sys-net\0domain-st");
    wait(&stream);
    assert_eq!(stream.read().unwrap(), []);
    served.model.tells(b"art\0start_guid\0True\0\x00");
    wait(&stream);
    let events = stream.read().unwrap();
    assert_eq!(
        (&events[0].subject[..], events[0].value(b"start_guid")),
        (&b"sys-net"[..], Some(&b"True"[..]))
    );
    served.model.tells(b"1\0work\0domain-shutdown\0\x00");
    served.model.hangs_up();
    wait(&stream);
    assert_eq!(stream.read().unwrap()[0].name, b"domain-shutdown");
    assert_eq!(stream.read().unwrap_err().code, Code::QubesdGone);
}

#[test]
fn every_recorded_event_is_read_wherever_the_stream_is_cut() {
    for transcript in [QUBES_42, QUBES_43] {
        let recorded = recorded_events(transcript);
        assert!(recorded.len() > 150);
        let bytes = recorded.concat();
        let events = Feed::default().take(&bytes).unwrap();
        assert_eq!(events.len(), recorded.len());
        for at in 0..bytes.len() {
            let mut feed = Feed::default();
            let mut read = feed.take(&bytes[..at]).unwrap();
            read.extend(feed.take(&bytes[at..]).unwrap());
            // Comparing thousands of events at each of 20,000 cuts takes a minute; the ends tell as much.
            assert_eq!((read.len(), read.last()), (events.len(), events.last()), "cut at {at}");
        }
        let mut feed = Feed::default();
        let read: Vec<Event> = bytes.chunks(1).flat_map(|byte| feed.take(byte).unwrap()).collect();
        assert_eq!(read, events);
    }
}

#[test]
fn an_event_has_an_end() {
    let mut feed = Feed::default();
    feed.take(b"1\0sys-net\0property-set:name\0newvalue\0").unwrap();
    let mut taken = 0;
    let refusal = loop {
        match feed.take(&[b'\x1b'; 1000]) {
            Ok(events) => assert_eq!(events, []),
            Err(refusal) => break refusal,
        }
        taken += 1000;
    };
    assert_eq!(refusal, QubesdRefusal::Nonsense);
    assert!((60_000..EVENT_MAX).contains(&taken), "{taken}");
    // Where the next one begins is not known.
    assert!(feed.take(b"\0\x001\0\0connection-established\0\0").is_err());
}

#[test]
fn an_exception_with_a_traceback_is_read_too() {
    let bytes = bytes_of("2\\0QubesException\\0Traceback (most recent call last):\\n\\0it broke\\0");
    let Err(QubesdRefusal::Exception(kind, message)) = answer(&bytes) else { panic!("{bytes:?}") };
    assert_eq!((kind.to_string(), message.to_string()), ("QubesException".into(), "it broke".into()));
    assert_eq!(answer(b"2\0x"), Err(QubesdRefusal::Nonsense));
}
