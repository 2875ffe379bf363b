//! Checks through the service: what is a verdict and what is none.

use super::*;
use crate::model::{MARKS, ServicePath, Way};

/// A table whose paths answers cannot come back on while there is an obstacle.
struct Walled {
    memory: Memory,
    obstacle: Arc<AtomicBool>,
}

impl Dataplane for Walled {
    fn services(&mut self) -> Result<Vec<Service>, TableError> {
        self.memory.services()
    }

    fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError> {
        self.memory.destinations(key)
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        self.memory.apply(operation)
    }

    fn has_paths(&self) -> bool {
        self.memory.has_paths()
    }

    fn obstacle(&mut self, _: &ServicePath) -> Option<String> {
        self.obstacle.load(Ordering::Relaxed).then(|| "answers are dropped".to_owned())
    }
}

fn through() -> VirtualService {
    let path = ServicePath {
        address: [10, 0, 0, 1].into(),
        server: [10, 0, 0, 2].into(),
        forwarding: ForwardingMethod::Gate,
        mark: *MARKS.start(),
    };
    let way = Way { source: None, path: Some(path) };
    let check = Arc::new(CheckPlan { way, ..CheckPlan::clone(&plan(2, CheckMethod::Connect)) });
    let server = RealServer { forwarding: ForwardingMethod::Gate, check, ..real(2) };
    VirtualService { real_servers: vec![server], ..service() }
}

fn bench(memory: Memory, obstacle: &Arc<AtomicBool>) -> Bench {
    let table = Walled { memory, obstacle: Arc::clone(obstacle) };
    Bench::on(Box::new(table), one(through()))
}

fn services(bench: &mut Bench) -> usize {
    bench.owner.table.backend().services().expect("a list").len()
}

#[test]
fn a_failure_is_no_verdict_while_no_answer_can_come_back() {
    let obstacle = Arc::default();
    let mut bench = bench(Memory::new().with_paths(), &obstacle);
    assert_eq!(services(&mut bench), 2, "the service and its path");
    bench.up(2);
    obstacle.store(true, Ordering::Relaxed);
    let serves = |bench: &Bench| bench.owner.director.services()[0].servers[0].health.serves();
    for _ in 0..3 {
        bench.down(2);
        assert!(serves(&bench));
    }
    assert!(bench.logs().iter().any(|line| line.contains("answers are dropped")));
    obstacle.store(false, Ordering::Relaxed);
    bench.down(2);
    assert!(!serves(&bench));
    // It is dead already: nobody asks why.
    obstacle.store(true, Ordering::Relaxed);
    bench.down(2);
    bench.up(2);
    assert!(serves(&bench));
}

#[test]
fn without_its_path_a_check_is_not_run() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    let refusal = Box::new(move |operation: &Operation| match operation {
        Operation::AddService(service) => {
            let is_path = matches!(service.key, ServiceKey::Fwmark { .. });
            (is_path && refusing.load(Ordering::Relaxed)).then_some(Errno::ENOMEM)
        }
        _ => None,
    });
    let mut bench = bench(Memory::new().with_paths().refusing(refusal), &Arc::default());
    for _ in 0..4 {
        bench.pass(Duration::from_secs(10));
    }
    assert!(bench.runs.is_empty());
    let told = |line: &String| line.contains("cannot check") && line.contains("memory");
    assert_eq!(bench.logs().iter().filter(|line| told(line)).count(), 1);
    refuses.store(false, Ordering::Relaxed);
    bench.pass(Duration::from_secs(10));
    bench.up(2);
    assert!(bench.owner.director.services()[0].servers[0].health.serves());
}

#[test]
fn a_table_in_memory_forwards_nothing() {
    let mut bench = bench(Memory::new(), &Arc::default());
    bench.pass(Duration::from_secs(10));
    assert_eq!((bench.runs.len(), services(&mut bench)), (0, 1));
    let told = |line: &String| line.contains("checkpath=service needs the kernel's table");
    assert!(bench.logs().iter().any(told));
}

#[test]
fn paths_end_with_the_daemon_also_where_the_services_stay() {
    let table = Walled { memory: Memory::new().with_paths(), obstacle: Arc::default() };
    let model = one(VirtualService { clean_stop: false, ..through() });
    let mut bench = Bench::on(Box::new(table), model);
    assert_eq!(services(&mut bench), 2);
    bench.step(Input::Terminate("TERM"));
    assert_eq!(services(&mut bench), 1);
}
