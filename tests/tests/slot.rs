//! Two processes under one slot, which is a mistake: one of them serves, and who could not serve throws nobody out.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use std::thread;
use std::time::Duration;
use system_tests::{Broker, Deployment, Service, http, wait};

#[test]
fn under_load_the_newer_of_two_processes_of_one_slot_serves_and_the_older_ends() {
    let Some(broker) = Broker::own(&[]) else { return };
    let deployment = Deployment::new(&broker, "twice");
    let mut older = deployment.start("0");
    let load = {
        let deployment = deployment.clone();
        thread::spawn(move || {
            deployment.run(&["generate", "--campaigns", "40", "--users", "5000", "--for", "40s", "--rate", "4000"])
        })
    };
    wait_until_it_counts(&older);
    let folder = deployment.folder.join("state-of-the-newer").display().to_string();
    let mut newer = Service::spawn(&deployment, "0", &[], &[("PACELINE__STATE__DIR", &folder)]);
    let status = older.wait_for_end(LIMIT);
    assert_eq!(status.code(), Some(75), "{}", older.last_words());
    newer.wait_until_ready();
    load.join().expect("the load ends");
    assert!(newer.is_ready() && newer.ended().is_none(), "{}", newer.last_words());
    newer.stop();
    deployment.clean();
}

#[test]
fn a_start_that_cannot_work_leaves_the_one_that_runs_alone() {
    let Some(broker) = Broker::own(&[]) else { return };
    let deployment = Deployment::new(&broker, "unusable");
    let mut running = deployment.start("0");
    let file = deployment.folder.join("a-file");
    std::fs::write(&file, "").expect("a file can be written");
    let unusable = [("PACELINE__STATE__DIR", file.to_str().expect("a name in letters"))];
    let mut refused = Service::spawn(&deployment, "0", &[], &unusable);
    assert_eq!(refused.wait_for_end(LIMIT).code(), Some(78), "{}", refused.last_words());
    assert!(refused.log().contains("state.dir"), "{}", refused.last_words());
    // Who was thrown out of the group would count nothing any more.
    deployment.run(&["generate", "--campaigns", "40", "--users", "5000", "--for", "3s", "--rate", "1000"]);
    wait_until_it_counts(&running);
    assert!(running.is_ready() && running.ended().is_none(), "{}", running.last_words());
    running.stop();
    deployment.clean();
}

const LIMIT: Duration = Duration::from_secs(90);

/// The load's campaigns are known: its events went through both stages.
fn wait_until_it_counts(service: &Service) {
    wait::until("the load is counted", LIMIT, || {
        let (_, words) = http::get(service.http_port(), "/api/v1/campaigns")?;
        words.contains("campaign-00").then_some(())
    });
}
