//! The operations whose interleavings are explored, each the server's real code behind one call.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use payrig_api::{ChannelStyle, Currency, Item, Simulate, Submission, TaskInfo};
use payrig_channel::CashierError;
use payrig_server::{
    channel::Channel,
    dispatch,
    model::{KeyUse, OpenTask, PayTask, RoundId, TaskId},
    notice,
    parts::Parts,
    queue::TaskQueue as _,
    service::{Backlog, Cancelled, NotAccepted, NotCancelled, NotRetried, PayService, Publisher, accept},
    sweep,
    sync::Synchroniser,
};

use super::{
    actor::Actor,
    life::{Life, T0_US, runner},
    model::Told,
    shown::Shown,
};

pub(crate) const MERCHANT: &str = "default";
pub(crate) const AMOUNT_MINOR: u64 = 1_234;

/// Tasks that any operation names have smaller numbers.
pub(crate) const TASKS: u64 = 16;

/// The id of the task with this number; ids that end alike share a lock.
pub(crate) fn task(number: u64) -> TaskId {
    let mut text = TaskId::floor(T0_US - 60_000_000 + number * 1_000).to_string();
    let digit = text.pop().and(char::from_digit(u32::try_from(number % 10).unwrap_or(0), 10));
    text.extend(digit);
    text.parse().expect("digits are digits")
}

/// A submission of one order: everything but what the test varies is the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Sub {
    /// The number of the task that is built for it.
    pub(crate) task: u64,
    pub(crate) order: &'static str,
    /// Key and body.
    pub(crate) key: Option<(&'static str, u8)>,
    /// So many of its first attempts fail, and it is not retried by itself.
    pub(crate) fails: u8,
    pub(crate) style: ChannelStyleName,
    /// It brings its order along.
    pub(crate) items: bool,
}

/// [`ChannelStyle`], in an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum ChannelStyleName {
    Alipay,
    Wechat,
}

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Op {
    /// A client submits.
    Submit(Sub),
    /// A client cancels the task with this number.
    Cancel(u64),
    /// A client retries it.
    Retry(u64),
    /// A client queries it twice.
    Query(u64),
    /// The payer pays for this task and round: with the parameters of a view, or as soon as one shows them.
    Pay(u64, u8),
    /// The first notification arrives; of two, one is the duplicate.
    Notify,
    /// The runner takes a delivery.
    Deliver,
    /// The subscriber with this number takes what it has to do.
    Serve(usize),
    /// The sweeper visits this task and round.
    Visit(u64, u8),
    /// The sweeper finds this key, expired.
    ForgetKey(&'static str),
}

/// What everybody who was answered knows.
#[derive(Clone, Default, Debug)]
pub(crate) struct Heard {
    pub(crate) told: Vec<Told>,
    pub(crate) shown: Shown,
    /// Answers that nobody should ever get.
    pub(crate) absurd: Vec<String>,
}

pub(crate) type Ears = Rc<RefCell<Heard>>;

impl Sub {
    pub(crate) const fn new(task: u64, order: &'static str) -> Self {
        Self { task, order, key: None, fails: 0, style: ChannelStyleName::Alipay, items: false }
    }

    pub(crate) const fn keyed(self, key: &'static str, body: u8) -> Self {
        Self { key: Some((key, body)), ..self }
    }

    pub(crate) const fn failing(self, fails: u8) -> Self {
        Self { fails, ..self }
    }

    pub(crate) const fn with_items(self) -> Self {
        Self { items: true, ..self }
    }

    pub(crate) const fn wechat(self) -> Self {
        Self { style: ChannelStyleName::Wechat, ..self }
    }

    pub(crate) fn open(self, accepted_at_us: u64) -> Arc<OpenTask> {
        let submission = Submission {
            order_no: self.order.to_owned(),
            amount_minor: AMOUNT_MINOR,
            currency: Currency::CNY,
            channel: match self.style {
                ChannelStyleName::Alipay => ChannelStyle::Alipay,
                ChannelStyleName::Wechat => ChannelStyle::Wechat,
            },
            items: self.items.then(|| items(AMOUNT_MINOR)),
            task_info: TaskInfo { need_retry: self.fails == 0, ..TaskInfo::default() },
            simulate: (self.fails > 0).then_some(Simulate { fail_first: self.fails, ..Simulate::default() }),
        };
        let task = PayTask::from_submission(task(self.task), MERCHANT.into(), submission);
        let key = self.key.map(|(key, body)| KeyUse { key: key.into(), body_sha256: [body; 32] });
        Arc::new(OpenTask { task: Arc::new(task), round: 1, accepted_at_us, attempts_before: 0, key })
    }
}

/// Two sellers' things of this price together.
pub(crate) fn items(amount_minor: u64) -> Vec<Item> {
    let item = |seller: &str, unit_price_minor| Item {
        sku: seller.to_owned(),
        quantity: 1,
        unit_price_minor,
        seller: Some(seller.to_owned()),
        warehouse: None,
    };
    vec![item("one", 1_000), item("other", amount_minor - 1_000)]
}

/// A service of its own for one request, with the publisher behind it.
pub(crate) fn service(parts: &Arc<Parts>) -> (PayService, Publisher) {
    let (backlog, publisher) = Backlog::new(Arc::clone(parts), 4);
    (PayService::new(Arc::clone(parts), backlog, Synchroniser::Direct(Arc::clone(parts))), publisher)
}

/// The operation, ready to be made step by step.
pub(crate) fn actor(op: Op, life: &Rc<Life>, ears: &Ears) -> Actor {
    let (life, ears, parts) = (Rc::clone(life), Rc::clone(ears), Arc::clone(&life.stepped));
    let (service, mut publisher) = service(&parts);
    let behind = Box::pin(async move {
        publisher.publish_next().await;
    });
    match op {
        Op::Submit(sub) => Actor::new(Box::pin(async move { submit(&service, sub, &ears).await }), Some(behind)),
        Op::Retry(number) => Actor::new(Box::pin(async move { retry(&service, number, &ears).await }), Some(behind)),
        Op::Cancel(number) => Actor::new(Box::pin(async move { cancel(&service, number, &ears).await }), None),
        Op::Query(number) => {
            let queries = async move {
                query(&service, task(number), &ears).await;
                query(&service, task(number), &ears).await;
            };
            Actor::new(Box::pin(queries), None)
        }
        Op::Pay(number, round) => {
            let payment_no = task(number).round(round);
            Actor::new(Box::pin(async move { pay(&service, &life, payment_no, &ears).await }), None)
        }
        Op::Notify => Actor::new(Box::pin(async move { notify(&life, &ears).await }), None),
        Op::Deliver => {
            let deliver = async move {
                for delivery in parts.queue.poll(1).await {
                    runner(&parts).handle(delivery).await;
                }
            };
            Actor::new(Box::pin(deliver), None)
        }
        Op::Serve(which) => {
            let serve = async move {
                dispatch::serve_next(&parts, which).await;
            };
            Actor::new(Box::pin(serve), None)
        }
        Op::Visit(number, round) => Actor::new(Box::pin(visit(parts, task(number).round(round), ears)), None),
        Op::ForgetKey(key) => {
            let forget = async move {
                let found = parts.store.idempotency_key(MERCHANT, key).await.expect("memory does not fail");
                if let Some(key) = found.filter(|key| key.expires_at_us <= parts.clock.now_us()) {
                    accept::forget_expired_keys(&parts, &[key]).await.expect("memory does not fail");
                }
            };
            Actor::new(Box::pin(forget), None)
        }
    }
}

pub(crate) async fn submit(service: &PayService, sub: Sub, ears: &Ears) {
    let open = sub.open(service.parts().clock.now_us());
    let own = open.task.task_id;
    let before = ears.borrow().shown.clone();
    let answer = service.submit(open).await;
    let mut heard = ears.borrow_mut();
    match answer {
        Ok(view) => {
            let answered = view.task.task_id;
            heard.shown.saw(answered, Some(&view), before.floor(answered));
            if answered != own {
                heard.told.push(Told::Nowhere { task: own });
            }
            heard.told.push(Told::Accepted { round: view.round_id(), key: sub.key });
        }
        // Overload is refused before anything is written.
        Err(NotAccepted::Refused(_) | NotAccepted::Overloaded) => heard.told.push(Told::Nowhere { task: own }),
        Err(error) => heard.absurd.push(format!("{sub:?}: {error}")),
    }
}

pub(crate) async fn retry(service: &PayService, number: u64, ears: &Ears) {
    let floor = ears.borrow().shown.floor(task(number));
    let answer = service.retry(MERCHANT, task(number)).await;
    let mut heard = ears.borrow_mut();
    match answer {
        Ok(view) => {
            heard.shown.saw(task(number), Some(&view), floor);
            heard.told.push(Told::Accepted { round: view.round_id(), key: None });
        }
        Err(NotRetried::WrongState(_) | NotRetried::UsedUp) => {}
        Err(NotRetried::NotAccepted(NotAccepted::Refused(_) | NotAccepted::Overloaded)) => {}
        Err(NotRetried::NotFound) if floor.is_none() => {}
        Err(error) => heard.absurd.push(format!("retry of {number}: {error}")),
    }
}

async fn cancel(service: &PayService, number: u64, ears: &Ears) {
    let floor = ears.borrow().shown.floor(task(number));
    let answer = service.cancel(MERCHANT, task(number)).await;
    let mut heard = ears.borrow_mut();
    match answer {
        Ok(Cancelled::Done(view)) => {
            heard.shown.saw(task(number), Some(&view), floor);
            heard.told.push(Told::Cancelled { task: task(number) });
            if !view.is_final() {
                heard.absurd.push(format!("cancelled, and shown as {:?}", view.state));
            }
        }
        Ok(Cancelled::GoingOn(view)) => heard.absurd.push(format!("the channel did not answer: {view:?}")),
        Err(NotCancelled::Ended(_) | NotCancelled::Paid(_)) => {}
        Err(NotCancelled::NotFound) if floor.is_none() => {}
        Err(error) => heard.absurd.push(format!("cancel of {number}: {error}")),
    }
}

/// One query; what it shows.
pub(crate) async fn query(service: &PayService, task: TaskId, ears: &Ears) {
    let floor = ears.borrow().shown.floor(task);
    let answer = service.query(MERCHANT, task).await;
    let mut heard = ears.borrow_mut();
    match answer {
        Ok(view) => heard.shown.saw(task, view.as_deref(), floor),
        Err(error) => heard.absurd.push(format!("query of {task}: {error}")),
    }
}

async fn pay(service: &PayService, life: &Life, payment_no: RoundId, ears: &Ears) {
    let floor = ears.borrow().shown.floor(payment_no.task);
    let view = match service.query(MERCHANT, payment_no.task).await {
        Ok(view) => view,
        Err(error) => return ears.borrow_mut().absurd.push(format!("query before paying: {error}")),
    };
    ears.borrow_mut().shown.saw(payment_no.task, view.as_deref(), floor);
    let Some(payment) = view.as_ref().and_then(|view| view.payment.as_ref()) else { return };
    if payment.payment_no != payment_no {
        return;
    }
    let taken = life.simulation.cashier(payment.pay_params.as_bytes()).await;
    let mut heard = ears.borrow_mut();
    match taken {
        Ok(_) => heard.told.push(Told::TookMoney { payment_no }),
        Err(CashierError::Closed) => {}
        Err(error) => heard.absurd.push(format!("the cashier: {error}")),
    }
}

pub(crate) async fn notify(life: &Life, ears: &Ears) {
    let notification = life.inbox.first().await;
    let Channel::Simulated(channel) = &life.stepped.channel else { unreachable!("it is in process") };
    let learnt = channel.verify(&notification).expect("the channel's own signature");
    let payment_no = learnt.payment_no;
    let taken = notice::take(&life.stepped, learnt).await;
    let mut heard = ears.borrow_mut();
    match taken {
        Ok(_) => heard.told.push(Told::Noticed { payment_no }),
        Err(error) => heard.absurd.push(format!("a notification: {error}")),
    }
}

async fn visit(parts: Arc<Parts>, round: RoundId, ears: Ears) {
    let visited = match parts.store.open_task(round).await {
        Ok(Some(open)) => sweep::visit(&parts, &open).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = visited {
        ears.borrow_mut().absurd.push(format!("a visit: {error}"));
    }
}
