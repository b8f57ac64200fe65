//! `paceline analyze ltv`: how often customers will buy again, and for how much.

use super::{open, print, table::Table};
use crate::cli::Ltv;
use crate::failure::{Failure, Outcome};
use policy::ltv::gamma_gamma::{self, Spender, frequency_correlation};
use policy::ltv::{BgNbd, Customer, Fit, GammaGamma, bg_nbd};
use serde::Serialize;
use std::io::Read;

/// Reads the customers, fits, prints.
pub fn run(arguments: &Ltv) -> Outcome {
    print(&answer(arguments.input.display(), open(&arguments.input)?, arguments.predict)?, arguments.output)
}

#[derive(Serialize)]
struct Answer {
    bg_nbd: Purchases,
    gamma_gamma: Option<Money>,
    customers: Option<Vec<Forecast>>,
}

#[derive(Serialize)]
struct Purchases {
    r: f64,
    alpha: f64,
    a: f64,
    b: f64,
    log_likelihood: f64,
}

#[derive(Serialize)]
struct Money {
    p: f64,
    q: f64,
    gamma: f64,
    log_likelihood: f64,
    /// The model takes it to be 0; here it is, so that a reader may doubt.
    frequency_correlation: Option<f64>,
}

#[derive(Serialize)]
#[allow(non_snake_case)]
struct Forecast {
    ID: String,
    expected_purchases: f64,
    p_alive: f64,
    expected_spend: Option<f64>,
}

/// The rows of the file.
struct Customers {
    ids: Vec<String>,
    customers: Vec<Customer>,
    /// Empty where the file has no money.
    spenders: Vec<Spender>,
}

fn answer(name: impl std::fmt::Display, source: impl Read, weeks: Option<f64>) -> Outcome<Answer> {
    if weeks.is_some_and(|weeks| !(weeks >= 0.0 && weeks.is_finite())) {
        return Err(Failure::usage("--predict must be a number of weeks of at least 0", "use for example 39"));
    }
    let rows = read(name.to_string(), source)?;
    let purchases = bg_nbd::fit(&rows.customers).ok_or_else(|| {
        Failure::failed(format!("cannot fit {name}: no customer bought again"), "wait for repeat purchases")
    })?;
    let money = gamma_gamma::fit(&rows.spenders);
    let customers = weeks.map(|weeks| forecasts(&rows, &purchases.model, money.as_ref(), weeks));
    let Fit { model: BgNbd { r, alpha, a, b }, log_likelihood } = purchases;
    Ok(Answer {
        bg_nbd: Purchases { r, alpha, a, b, log_likelihood },
        gamma_gamma: money.map(|fit| Money {
            p: fit.model.p,
            q: fit.model.q,
            gamma: fit.model.gamma,
            log_likelihood: fit.log_likelihood,
            frequency_correlation: frequency_correlation(&rows.spenders),
        }),
        customers,
    })
}

fn forecasts(rows: &Customers, model: &BgNbd, money: Option<&Fit<GammaGamma>>, weeks: f64) -> Vec<Forecast> {
    let spend = |at: usize| rows.spenders.get(at).and_then(|spender| money?.model.expected_spend(spender));
    let forecast = |(at, customer): (usize, &Customer)| Forecast {
        ID: rows.ids[at].clone(),
        expected_purchases: model.expected_purchases(customer, weeks),
        p_alive: model.p_alive(customer),
        expected_spend: spend(at),
    };
    rows.customers.iter().enumerate().map(forecast).collect()
}

fn read(name: String, source: impl Read) -> Outcome<Customers> {
    let [id, x, t_x, age, zbar] = [0, 1, 2, 3, 4];
    let mut table = Table::open(name, source, b',', &["ID", "x", "t_x", "T"], &["zbar"])?;
    let mut rows = Customers { ids: Vec::new(), customers: Vec::new(), spenders: Vec::new() };
    while table.advance()? {
        let customer = Customer { repeats: table.amount(x)?, last: table.amount(t_x)?, age: table.amount(age)? };
        if customer.last > customer.age {
            return Err(table.mistake(t_x, "lies after T"));
        }
        if table.has(zbar) {
            let buys = customer.repeats > 0.0;
            let mean = if buys || !table.text(zbar).is_empty() { table.amount(zbar)? } else { 0.0 };
            if buys && mean == 0.0 {
                return Err(table.mistake(zbar, "must be above 0 for a customer who bought again"));
            }
            rows.spenders.push(Spender { repeats: customer.repeats, mean });
        }
        rows.ids.push(table.word(id)?.to_owned());
        rows.customers.push(customer);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUSTOMERS: &str = "\
ID,x,t_x,T,zbar
0001,2,30.43,38.86,22.35
0002,1,1.71,38.86,11.77
0003,0,0.00,38.86,0.00
0004,0,0.00,38.86,
0005,7,29.43,38.86,73.74
0006,4.0,20,30.1,31.5
0007,1,12,33,8.2
";

    #[test]
    fn customers_are_forecast_under_their_own_names() {
        let document = answer("c.csv", CUSTOMERS.as_bytes(), Some(39.0)).expect("fitted");
        let customers = document.customers.expect("asked for");
        assert_eq!((customers.len(), customers[0].ID.as_str()), (7, "0001"));
        assert!(customers.iter().all(|customer| (0.0..=1.0).contains(&customer.p_alive)));
        assert_eq!((customers[2].p_alive, customers[3].p_alive), (1.0, 1.0));
        assert!(document.gamma_gamma.expect("has zbar").log_likelihood.is_finite());
    }

    #[test]
    fn without_money_and_forecast_there_is_null() {
        let text: String =
            CUSTOMERS.lines().map(|line| line.rsplit_once(',').expect("cells").0.to_owned() + "\n").collect();
        let document = serde_json::to_string(&answer("c.csv", text.as_bytes(), None).expect("fitted")).expect("json");
        assert!(document.ends_with(r#""gamma_gamma":null,"customers":null}"#), "{document}");
    }

    #[test]
    fn mistakes_are_told() {
        for (from, to, words) in [
            ("30.43", "39.43", "line 2: t_x \"39.43\" lies after T"),
            ("11.77", "0", "line 3: zbar \"0\" must be above 0"),
            ("7,29.43", "-7,29.43", "line 6: x \"-7\" is below 0"),
        ] {
            let text = CUSTOMERS.replace(from, to);
            let failure = answer("c.csv", text.as_bytes(), None).map(|_| ()).expect_err(words).to_string();
            assert!(failure.contains(words), "{failure}");
        }
        assert!(answer("c.csv", "ID,x,t_x,T\n1,0,0,3\n".as_bytes(), None).is_err());
        assert!(answer("c.csv", CUSTOMERS.as_bytes(), Some(-1.0)).is_err());
    }
}
