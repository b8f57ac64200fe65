//! A service that watches itself: with `verify.shadow` it counts its own decisions as equal, and one that another program
//! writes between them raises what the alert `PacelineShadowDifference` looks at.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use crate::verify::{steer, wait_for_commands, with_forged_reason};
use std::process::Stdio;
use std::time::Duration;
use system_tests::logs::{self, Writer};
use system_tests::{Broker, Deployment, wait};

/// A turn of the shadow comes every two seconds, and rarer on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);
const EQUAL: &str = "paceline_shadow_records_total{result=\"equal\"}";
const DIFFERENT: &str = "paceline_shadow_records_total{result=\"different\"}";
/// What the alert is a sum of.
const LEFT: &str = "paceline_shadow_partitions{state=\"different\"}";

#[test]
fn a_service_finds_its_own_decisions_equal_and_one_that_is_not_its_own() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "shadow");
    deployment.set("user_key.secret", "a secret of this story");
    deployment.set("verify.shadow", "true");
    steer(&deployment);
    let load = ["generate", "--campaigns", "20", "--users", "2000", "--for", "3s", "--rate", "1000"];
    let mut load = deployment.command(&load).stdout(Stdio::null()).spawn().expect("the binary runs");
    let mut service = deployment.start("0");
    wait_for_commands(&deployment, 1);
    let is_seen = |name: &str| service.metric(name).is_some_and(|value| value > 0.0);
    wait::until("the shadow has compared", LIMIT, || {
        (is_seen(EQUAL) && is_seen("paceline_shadow_verified_timestamp_seconds")).then_some(())
    });
    assert_eq!([DIFFERENT, LEFT].map(|name| service.metric(name)), [Some(0.0); 2], "{}", service.last_words());
    assert!(load.wait().expect("a child can be waited for").success(), "the load ends well");

    let adjustments = deployment.topic("adjustments");
    let command = logs::read(&deployment.brokers, &[adjustments]).remove(0);
    let writer = Writer::open(&deployment.brokers);
    writer.send(adjustments, Some(command.partition), command.key.as_deref(), Some(&with_forged_reason(&command)));
    writer.flush();
    wait::until("the forged command is found", LIMIT, || is_seen(LEFT).then_some(()));
    assert_eq!((service.metric(DIFFERENT), service.metric(LEFT)), (Some(1.0), Some(1.0)));
    assert!(service.log().contains("a committed decision is not what the journal leads to"));
    assert!(service.is_ready(), "it tells, and goes on");
    service.stop();
    deployment.clean();
}
