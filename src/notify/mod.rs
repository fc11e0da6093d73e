//! Status lines to webhooks, and lines of the audit ([`forward`]) to whoever collects them.
//!
//! Status lines go beside the work, in order, and are never in its way.
//!
//! One thread delivers, with a queue for each receiver, so that one that is slow or dead delays neither the work nor the
//! other receivers. What was not delivered when the command ends is told as [`Untold`].

pub mod forward;
mod pagerduty;
mod payload;
mod post;
mod template;

use crate::config::{Text, WebhookConfig, WebhookEvent, WebhookFormat, header_map, http_url};
use crate::error::Result;
use crate::model::status::StatusLine;
use crossbeam_channel::{Receiver, Sender, bounded};
use reqwest::header::HeaderMap;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use url::Url;

/// Delivers status lines of one kind to every webhook that wants them.
#[derive(Debug)]
pub struct Notifier {
    hooks: Vec<Hook>,
    /// Ends when every queue is empty.
    ended: Option<Receiver<()>>,
    /// The longest timeout of a webhook.
    longest: Duration,
}

/// What one webhook was not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Untold {
    /// Its name in the configuration.
    pub webhook: String,
    /// How many lines.
    pub lines: u32,
    /// Why the last of them was not delivered; without its address.
    pub why: String,
}

/// One webhook, as the command sees it.
#[derive(Debug)]
struct Hook {
    name: String,
    /// Where lines go; nothing if it cannot be used.
    queue: Option<UnboundedSender<Arc<StatusLine>>>,
    tally: Arc<Mutex<Tally>>,
}

/// What became of the lines for one webhook.
#[derive(Debug, Default)]
struct Tally {
    told: u32,
    delivered: u32,
    why: Option<String>,
}

/// One webhook, as the thread sees it.
struct Delivery {
    target: Target,
    queue: UnboundedReceiver<Arc<StatusLine>>,
    tally: Arc<Mutex<Tally>>,
}

/// Where a webhook is, and what it takes.
#[derive(Debug, Clone)]
struct Target {
    url: Url,
    headers: HeaderMap,
    format: WebhookFormat,
    /// A secret, of PagerDuty alone.
    routing_key: Option<String>,
    /// A body of the user's own.
    template: Option<String>,
    timeout: Duration,
}

impl Notifier {
    /// Gets ready to tell the webhooks that want to hear of `event`; connects to nothing yet. One whose address or
    /// headers cannot be had is in what [`Notifier::finish`] returns.
    pub fn new(webhooks: &[WebhookConfig], event: WebhookEvent) -> Self {
        Self::to(webhooks.iter().filter(|webhook| webhook.events.contains(&event)))
    }

    /// Gets ready to tell that something is good again: those that hear of `event`, if it is one of its own, and those that
    /// keep an incident open since they heard of `wrong`.
    pub fn resolving(webhooks: &[WebhookConfig], event: Option<WebhookEvent>, wrong: WebhookEvent) -> Self {
        let keeps_open =
            |webhook: &WebhookConfig| webhook.format == WebhookFormat::Pagerduty && webhook.events.contains(&wrong);
        let hears = |webhook: &WebhookConfig| event.is_some_and(|event| webhook.events.contains(&event));
        Self::to(webhooks.iter().filter(|webhook| hears(webhook) || keeps_open(webhook)))
    }

    fn to<'a>(webhooks: impl Iterator<Item = &'a WebhookConfig>) -> Self {
        let (mut hooks, mut deliveries) = (Vec::new(), Vec::new());
        let mut longest = Duration::ZERO;
        for webhook in webhooks {
            longest = longest.max(webhook.timeout);
            let tally = Arc::new(Mutex::new(Tally::default()));
            let queue = match Target::of(webhook) {
                Ok(target) => {
                    let (sender, queue) = unbounded_channel();
                    deliveries.push(Delivery { target, queue, tally: Arc::clone(&tally) });
                    Some(sender)
                }
                Err(error) => {
                    locked(&tally).why = Some(error.chain());
                    None
                }
            };
            hooks.push(Hook { name: webhook.name.clone(), queue, tally });
        }
        let ended = if deliveries.is_empty() { None } else { start(deliveries) };
        Self { hooks, ended, longest }
    }

    /// Says whether nobody wants to hear.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Returns how long one line may take at most.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Puts a line into every queue, and returns at once.
    pub fn tell(&self, line: StatusLine) {
        let line = Arc::new(line);
        for hook in &self.hooks {
            locked(&hook.tally).told += 1;
            if let Some(queue) = &hook.queue {
                // If nobody takes it, it counts as not delivered.
                let _ = queue.send(Arc::clone(&line));
            }
        }
    }

    /// Waits until every line is delivered or given up, for `within` at most; returns what was not delivered.
    pub fn finish(self, within: Duration) -> Vec<Untold> {
        let hooks: Vec<_> = self.hooks.into_iter().map(|Hook { name, tally, .. }| (name, tally)).collect();
        if let Some(ended) = self.ended {
            // It sends nothing: that it is gone is the message.
            let _ = ended.recv_timeout(within);
        }
        let untold = |(webhook, tally): (String, Arc<Mutex<Tally>>)| {
            let tally = locked(&tally);
            let lines = tally.told.saturating_sub(tally.delivered);
            let why = tally.why.clone().unwrap_or_else(|| "it did not answer before the command ended".to_owned());
            (lines > 0).then_some(Untold { webhook, lines, why })
        };
        hooks.into_iter().filter_map(untold).collect()
    }
}

impl Target {
    fn of(webhook: &WebhookConfig) -> Result<Self> {
        Ok(Self {
            url: http_url(&webhook.url, "`url` of a webhook is such as https://chat.example/hooks/1")?,
            headers: header_map(&webhook.headers)?,
            format: webhook.format,
            routing_key: webhook.routing_key.as_ref().map(Text::resolve).transpose()?,
            template: webhook.template.as_ref().map(Text::resolve).transpose()?,
            timeout: webhook.timeout,
        })
    }
}

#[cfg(test)]
impl Target {
    /// One without anything of its own.
    fn sample(url: &str) -> Self {
        Self {
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            format: WebhookFormat::Json,
            routing_key: None,
            template: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Starts the thread that delivers. It is never joined: a name server that hangs must not keep the command from its end.
fn start(deliveries: Vec<Delivery>) -> Option<Receiver<()>> {
    let (alive, ended) = bounded(0);
    let tallies: Vec<_> = deliveries.iter().map(|delivery| Arc::clone(&delivery.tally)).collect();
    let started = std::thread::Builder::new().name("webhooks".to_owned()).spawn(move || run(deliveries, alive));
    if let Err(error) = started {
        for tally in tallies {
            locked(&tally).why = Some(format!("cannot start a thread: {error}"));
        }
        return None;
    }
    Some(ended)
}

/// Delivers until every queue is closed and empty; `_alive` is dropped then.
fn run(deliveries: Vec<Delivery>, _alive: Sender<()>) {
    let tallies: Vec<_> = deliveries.iter().map(|delivery| Arc::clone(&delivery.tally)).collect();
    let work = || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let client = post::client()?;
            let mut all = tokio::task::JoinSet::new();
            let mut tally_of = HashMap::new();
            for delivery in deliveries {
                let tally = Arc::clone(&delivery.tally);
                tally_of.insert(all.spawn(serve(client.clone(), delivery)).id(), tally);
            }
            while let Some(ended) = all.join_next().await {
                // Its other lines are lost with it, and somebody has to say why.
                if let Err(error) = ended
                    && let Some(tally) = tally_of.get(&error.id())
                {
                    locked(tally).why = Some("its delivery panicked: this is a mistake in holdpoint".to_owned());
                }
            }
            Ok(())
        })
    };
    if let Err(why) = work() {
        for tally in tallies {
            locked(&tally).why = Some(format!("cannot use HTTP: {why}"));
        }
    }
}

/// Delivers the lines of one webhook, one after another.
async fn serve(client: reqwest::Client, Delivery { target, mut queue, tally }: Delivery) {
    while let Some(line) = queue.recv().await {
        let delivered = match payload::body(&target, &line) {
            Ok(Some(body)) => post::deliver(&client, &target, body).await,
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        };
        let mut tally = locked(&tally);
        match delivered {
            Ok(()) => tally.delivered += 1,
            Err(why) => tally.why = Some(why),
        }
    }
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
