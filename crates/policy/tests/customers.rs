//! The customer models against published figures: the CDNOW sample (see `data/README.md`).

use policy::ltv::gamma_gamma::{self, Spender, frequency_correlation};
use policy::ltv::{BgNbd, Customer, bg_nbd};

const CDNOW: &str = include_str!("data/cdnow.csv");

fn customers() -> Vec<(Customer, Spender)> {
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let row = |line: &str| {
        let cells: Vec<f64> = line.split(',').skip(1).map(number).collect();
        let customer = Customer { repeats: cells[0], last: cells[1], age: cells[2] };
        (customer, Spender { repeats: cells[0], mean: cells[3] })
    };
    CDNOW.lines().skip(1).map(row).collect()
}

fn near(got: f64, published: f64, tolerance: f64) {
    assert!((got - published).abs() <= tolerance, "{got} against the published {published}");
}

#[test]
fn bg_nbd_finds_the_published_parameters() {
    let customers: Vec<Customer> = customers().into_iter().map(|(customer, _)| customer).collect();
    let fit = bg_nbd::fit(&customers).expect("fitted");
    // Fader, Hardie and Lee: r .243 alpha 4.414 a .793 b 2.426, LL -9582.4; six digits from `lifetimes` without penalty.
    near(fit.model.r, 0.242593, 1e-4);
    near(fit.model.alpha, 4.41353, 1e-3);
    near(fit.model.a, 0.792886, 1e-3);
    near(fit.model.b, 2.42575, 1e-3);
    near(fit.log_likelihood, -9582.4256, 1e-3);
    near(fit.model.log_likelihood(&customers), fit.log_likelihood, 1e-9);
}

#[test]
fn the_order_of_customers_changes_no_bit() {
    let mut customers: Vec<Customer> = customers().into_iter().take(300).map(|(customer, _)| customer).collect();
    let one = bg_nbd::fit(&customers).expect("fitted");
    customers.reverse();
    let other = bg_nbd::fit(&customers).expect("fitted");
    assert_eq!(one, other);
}

#[test]
fn gamma_gamma_finds_the_published_parameters() {
    let spenders: Vec<Spender> = customers().into_iter().map(|(_, spender)| spender).collect();
    assert_eq!(spenders.iter().filter(|spender| spender.repeats > 0.0).count(), 946);
    let fit = gamma_gamma::fit(&spenders).expect("fitted");
    near(fit.model.p, 6.2488, 1e-3);
    near(fit.model.q, 3.7446, 1e-3);
    near(fit.model.gamma, 15.4478, 2e-3);
    near(fit.log_likelihood, -4055.92, 1e-2);
    near(frequency_correlation(&spenders).expect("varies"), 0.114, 0.01);
}

#[test]
fn the_next_39_weeks_sum_to_the_published_forecast() {
    let customers: Vec<Customer> = customers().into_iter().map(|(customer, _)| customer).collect();
    let model = bg_nbd::fit(&customers).expect("fitted").model;
    let forecast: f64 = customers.iter().map(|customer| model.expected_purchases(customer, 39.0)).sum();
    near(forecast, 1_653.0, 1.0);
}

/// Arbitrary-precision values of the published formula (40 digits, hypergeometric function and all).
#[test]
fn expected_purchases_equal_the_published_formula() {
    let cdnow = BgNbd { r: 0.242593, alpha: 4.41353, a: 0.792886, b: 2.42575 };
    let cases = [
        ([2.0, 30.43, 38.86], 39.0, 1.2259101565247697, 0.726608981501282),
        ([0.0, 0.0, 38.86], 39.0, 0.19478090791766517, 1.0),
        ([29.0, 30.0, 38.86], 39.0, 0.9192110955411242, 0.04513726452664003),
        ([1.0, 1.71, 38.86], 520.0, 1.3079974954566259, 0.2122271273587927),
        ([100.0, 38.0, 38.86], 39.0, 65.3494621329684, 0.9447557115338407),
    ];
    for ([repeats, last, age], span, purchases, alive) in cases {
        let customer = Customer { repeats, last, age };
        near(cdnow.expected_purchases(&customer, span) / purchases, 1.0, 1e-12);
        near(cdnow.p_alive(&customer), alive, 1e-13);
    }
    let busy = Customer { repeats: 3.0, last: 10.0, age: 20.0 };
    let new = Customer { repeats: 0.0, last: 0.0, age: 20.0 };
    for (model, customer, purchases) in [
        (BgNbd { r: 0.5, alpha: 3.0, a: 1.7, b: 0.2 }, busy, 0.39871131448562675),
        (BgNbd { r: 2.5, alpha: 3.0, a: 0.3, b: 0.4 }, busy, 1.9041261952159175),
        (BgNbd { r: 2.5, alpha: 3.0, a: 1.0000001, b: 0.4 }, busy, 0.43878878008875616),
        (BgNbd { r: 2.5, alpha: 3.0, a: 0.3, b: 0.4 }, new, 2.396426308385273),
    ] {
        near(model.expected_purchases(&customer, 40.0) / purchases, 1.0, 1e-11);
    }
    let at_one = BgNbd { r: 2.5, alpha: 3.0, a: 1.0, b: 0.4 };
    near(at_one.expected_purchases(&busy, 40.0), 0.43878878, 1e-6);
    assert_eq!(at_one.expected_purchases(&busy, 0.0), 0.0);
}

#[test]
fn money_of_a_newcomer_is_the_population_mean() {
    let model = gamma_gamma::GammaGamma { p: 6.2488, q: 3.7446, gamma: 15.4478 };
    let newcomer = model.expected_spend(&Spender { repeats: 0.0, mean: 0.0 }).expect("finite");
    near(newcomer, 6.2488 * 15.4478 / 2.7446, 1e-12);
    let regular = model.expected_spend(&Spender { repeats: 1_000.0, mean: 20.0 }).expect("finite");
    near(regular, 20.0, 0.02);
    let heavy = gamma_gamma::GammaGamma { p: 1.0, q: 0.5, gamma: 1.0 };
    assert_eq!(heavy.expected_spend(&Spender { repeats: 0.0, mean: 0.0 }), None);
}

#[test]
fn what_cannot_be_fitted_is_none() {
    let new = Customer { repeats: 0.0, last: 0.0, age: 10.0 };
    assert!(bg_nbd::fit(&[]).is_none() && bg_nbd::fit(&[new; 5]).is_none());
    let impossible = Customer { repeats: 1.0, last: 11.0, age: 10.0 };
    assert!(bg_nbd::fit(&[impossible]).is_none());
    assert!(gamma_gamma::fit(&[Spender { repeats: 0.0, mean: 0.0 }]).is_none());
    assert!(gamma_gamma::fit(&[Spender { repeats: 2.0, mean: 0.0 }]).is_none());
    // Two equal customers have no best answer; the search ends all the same.
    let pair = [Customer { repeats: 1.0, last: 5.0, age: 10.0 }; 2];
    assert!(bg_nbd::fit(&pair).is_none_or(|fit| fit.log_likelihood.is_finite()));
}
