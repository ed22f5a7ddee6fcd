//! A channel that loses packets, to hear and measure what a stream sounds like over a bad network.

use std::str::FromStr;

use clap::{Args, ValueEnum};

/// How losses follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LossModel {
    /// Each packet is lost independently of the others
    Random,
    /// Losses come in bursts (Gilbert-Elliott)
    Burst,
}

/// A share of packets, such as `10%` or `0.1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
        let value: f64 =
            number.trim().parse().map_err(|_| format!("{text:?} is not a share such as 10% or 0.1"))?;
        match value * scale {
            // Beyond, hardly a packet follows another, and nothing is left to judge. NaN matches neither.
            share @ 0.0..=0.9 => Ok(Self(share)),
            _ => Err(format!("{text} is beyond what can be simulated, allowed: 0 to 90%")),
        }
    }
}

/// What is to be lost on the way.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Loss simulation")]
pub(crate) struct LossArgs {
    /// Share of the packets to drop, such as 10% or 0.1. Encode with --frames-per-packet 1 for packets as in a call. The packet
    /// that starts a stream is never dropped, nor are packets of video
    #[arg(long, value_name = "SHARE")]
    loss: Option<Share>,
    /// Distribution of the losses
    #[arg(long, value_name = "NAME", default_value = "random", requires = "loss")]
    loss_model: LossModel,
    /// Mean length of a burst in packets, for --loss-model burst
    #[arg(long, value_name = "N", default_value_t = 3.0, requires = "loss")]
    loss_burst: f64,
    /// Seed of the random generator; the same seed drops the same packets
    #[arg(long, value_name = "N", default_value_t = 1, requires = "loss")]
    seed: u64,
}

impl LossArgs {
    /// The channel asked for; none if nothing is to be lost.
    pub(crate) fn channel(&self) -> anyhow::Result<Option<Channel>> {
        let Some(Share(share)) = self.loss else { return Ok(None) };
        let burst = match self.loss_model {
            LossModel::Random => None,
            LossModel::Burst if (1.0..=1000.0).contains(&self.loss_burst) => Some(self.loss_burst),
            LossModel::Burst => {
                let message = format!("--loss-burst is {}, allowed: 1 to 1000", self.loss_burst);
                return Err(crate::failure::usage_error(message));
            }
        };
        Channel::new(share, burst, self.seed).map(Some).map_err(crate::failure::usage_error)
    }
}

/// Gilbert-Elliott's channel (E. N. Gilbert 1960, E. O. Elliott 1963) in which the bad state loses every packet and the
/// good state none.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    random: oorandom::Rand64,
    /// Chance of a loss after a packet that came, and after one that was lost.
    after_good: f64,
    after_bad: f64,
    bad: bool,
}

impl Channel {
    /// A channel that loses `share` of the packets, in runs of `burst` on average or, without it, one by one.
    pub(crate) fn new(share: f64, burst: Option<f64>, seed: u64) -> Result<Self, String> {
        let (after_good, after_bad) = match burst {
            None => (share, share),
            // From the stationary share of the bad state and the mean length of a run, which is geometric.
            Some(burst) => (share / (burst * (1.0 - share)), 1.0 - 1.0 / burst),
        };
        if after_good > 1.0 {
            let shortest = share / (1.0 - share);
            return Err(format!(
                "{:.0} % cannot be lost in runs of {burst:?} packets: --loss-burst must be {shortest:.1} or more",
                share * 100.0,
                burst = burst.unwrap_or_default(),
            ));
        }
        // Its numbers are the same on every machine and in every version, as measurements with a seed must be.
        let mut random = oorandom::Rand64::new(seed.into());
        // It begins as it goes on, not always well.
        let bad = random.rand_float() < share;
        Ok(Self { random, after_good, after_bad, bad })
    }

    /// Whether the next packet is lost.
    pub(crate) fn loses_next(&mut self) -> bool {
        let lost = self.bad;
        let chance = if self.bad { self.after_bad } else { self.after_good };
        self.bad = self.random.rand_float() < chance;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(share: f64, burst: Option<f64>, seed: u64) -> Vec<bool> {
        let mut channel = Channel::new(share, burst, seed).expect("a possible channel");
        (0..100_000).map(|_| channel.loses_next()).collect()
    }

    fn share(losses: &[bool]) -> f64 {
        losses.iter().filter(|&&l| l).count() as f64 / losses.len() as f64
    }

    fn mean_run(losses: &[bool]) -> f64 {
        let runs = losses.split(|l| !l).filter(|run| !run.is_empty());
        let (count, sum) = runs.fold((0, 0), |(count, sum), run| (count + 1, sum + run.len()));
        f64::from(sum as u32) / f64::from(count)
    }

    #[test]
    fn as_much_is_lost_as_was_asked_for() {
        for asked in [0.05, 0.1, 0.2] {
            let random = losses(asked, None, 1);
            assert!((share(&random) - asked).abs() < 0.005);
            assert!((mean_run(&random) - 1.0 / (1.0 - asked)).abs() < 0.05);
            for burst in [2.0, 3.0, 8.0] {
                let found = losses(asked, Some(burst), 2);
                assert!((share(&found) - asked).abs() < 0.015, "{asked} in {burst}: {}", share(&found));
                assert!((mean_run(&found) - burst).abs() < 0.05 * burst + 0.1, "{}", mean_run(&found));
            }
        }
    }

    #[test]
    fn a_seed_says_which_packets() {
        assert_eq!(losses(0.1, Some(3.0), 7), losses(0.1, Some(3.0), 7));
        assert_ne!(losses(0.1, Some(3.0), 7), losses(0.1, Some(3.0), 8));
        assert!(losses(0.0, None, 1).iter().all(|l| !l));
    }

    #[test]
    fn shares_are_read_and_impossible_channels_refused() {
        assert_eq!("10%".parse(), Ok(Share(0.1)));
        assert_eq!("0.05".parse(), Ok(Share(0.05)));
        for bad in ["", "%", "ten", "-1%", "91%", "10", "nan"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert!(Channel::new(0.8, Some(3.0), 1).is_err());
    }
}
