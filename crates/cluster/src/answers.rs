//! What our scheduler answers that the engine's does not: how a job stands, and who is there.
//!
//! The scheduler is a process of ours, and sees more than the engine tells; so this is asked on the port where all else is
//! asked.

use crate::{
    members::{Member, Members},
    overview::Overview,
    program::PROGRAM,
};
use ballista_core::{JobId, serde::scheduler::ExecutorMetadata};
use ballista_scheduler::{cluster::BallistaCluster, scheduler_server::SchedulerServer};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use prost::Message;
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use tonic::{
    Request, Response, Status as Answer,
    body::Body,
    client,
    codegen::{BoxFuture, Service, http},
    server::{self, NamedService, UnaryService},
    transport::Channel,
};
use tonic_prost::ProstCodec;

/// The scheduler of a process.
pub(crate) type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// A question of ours, as it travels.
trait Question: Message + Default + 'static {
    /// Where it is asked.
    const PATH: &'static str;
    /// What answers it.
    type Answer: Message + Default + 'static;
}

/// How does this job stand?
#[derive(Clone, PartialEq, Eq, Message)]
struct OfJob {
    #[prost(string, tag = "1")]
    job: String,
}

impl Question for OfJob {
    const PATH: &'static str = "/topshelf.Cluster/Job";
    type Answer = Overview;
}

/// Who is there?
#[derive(Clone, PartialEq, Eq, Message)]
struct OfMembers {}

impl Question for OfMembers {
    const PATH: &'static str = "/topshelf.Cluster/Members";
    type Answer = Members;
}

/// Asks a scheduler how a job stands.
pub(crate) async fn overview(scheduler: &Channel, job: &str) -> Result<Overview, Answer> {
    ask(scheduler, OfJob { job: job.to_owned() }).await
}

/// Asks a scheduler who is there.
pub(crate) async fn members(scheduler: &Channel) -> Result<Members, Answer> {
    ask(scheduler, OfMembers {}).await
}

async fn ask<Q: Question>(scheduler: &Channel, question: Q) -> Result<Q::Answer, Answer> {
    let mut client = client::Grpc::new(scheduler.clone());
    client.ready().await.map_err(|error| Answer::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(Q::PATH);
    let codec = ProstCodec::<Q, Q::Answer>::default();
    Ok(client.unary(Request::new(question), path, codec).await?.into_inner())
}

/// Answers for a scheduler.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) scheduler: Scheduler,
    pub(crate) cluster: BallistaCluster,
}

impl Answers {
    async fn overview(&self, job: &str) -> Result<Overview, Answer> {
        let job = JobId::from(job);
        let executors = self.cluster.cluster_state().registered_executor_metadata().await;
        let addresses = executors.into_iter().map(|executor| (executor.id.clone(), address(&executor)));
        let addresses = addresses.collect();
        if let Some(running) = self.scheduler.state.task_manager.get_running_job_cache().get(&job) {
            return Ok(Overview::of_graph(&**running.execution_graph.read().await, &addresses));
        }
        let ended = self.cluster.job_state().get_execution_graph(&job).await;
        let ended = ended.map_err(|error| Answer::internal(error.to_string()))?;
        let graph = ended.ok_or_else(|| Answer::not_found(format!("job {job} has no stages")))?;
        Ok(Overview::of_graph(&*graph, &addresses))
    }

    async fn members(&self) -> Members {
        let executors = self.cluster.cluster_state().registered_executor_metadata().await;
        let member = |executor: &ExecutorMetadata| Member {
            address: address(executor),
            slots: executor.specification.vcores,
        };
        let mut executors: Vec<_> = executors.iter().map(member).collect();
        executors.sort();
        Members { program: PROGRAM.to_owned(), executors }
    }
}

fn address(executor: &ExecutorMetadata) -> String {
    format!("{}:{}", executor.host, executor.port)
}

impl NamedService for Answers {
    const NAME: &'static str = "topshelf.Cluster";
}

impl UnaryService<OfJob> for Answers {
    type Response = Overview;
    type Future = BoxFuture<Response<Overview>, Answer>;

    fn call(&mut self, question: Request<OfJob>) -> Self::Future {
        let of = self.clone();
        Box::pin(async move { of.overview(&question.get_ref().job).await.map(Response::new) })
    }
}

impl UnaryService<OfMembers> for Answers {
    type Response = Members;
    type Future = BoxFuture<Response<Members>, Answer>;

    fn call(&mut self, _: Request<OfMembers>) -> Self::Future {
        let of = self.clone();
        Box::pin(async move { Ok(Response::new(of.members().await)) })
    }
}

impl Service<http::Request<Body>> for Answers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let of = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                OfJob::PATH => answer::<OfJob>(of, request).await,
                OfMembers::PATH => answer::<OfMembers>(of, request).await,
                _ => Answer::unimplemented("this is asked of nobody").into_http(),
            })
        })
    }
}

async fn answer<Q: Question>(of: Answers, request: http::Request<Body>) -> http::Response<Body>
where
    Answers: UnaryService<Q, Response = Q::Answer>,
{
    server::Grpc::new(ProstCodec::<Q::Answer, Q>::default()).unary(of, request).await
}
