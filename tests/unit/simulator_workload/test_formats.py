"""Every table format, from a few lines by hand: units, what is taken, what is reported."""

import pytest

from fenglin.errors import InputError
from fenglin.simulator.readers.registry import KINDS, read, recognise

GIB = 2**30
NEVER_RAN = "a negative runtime (never ran, or unknown)"

OPENB = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
p1,12000,16384,1,460,,LS,Running,100,1100,150
p2,6000,1024,2,1000,H800,BE,Succeeded,200,900,400
p3,6000,1024,1,1000,T4,LS,Pending,300,900,
p4,6000,1024,1,1000,V100M16|V100M32,LS,Failed,400,900,400
p5,6000,1024,3,500,,LS,Failed,500,900,500
"""


def test_openb(put, jobs_of):
    (one, two, four), found = jobs_of(put("pods_x.csv.gz", OPENB))
    assert (one.submitted_ms, one.runtimes_ms) == (100_000, (950_000,))
    assert one.shape.resources.values() == (12_000, 16 * GIB, 0, 460)
    assert (one.shape.accelerator, one.preemptible) == (None, False)
    assert two.shape.resources.accelerator_milli == 2_000
    assert two.shape.accelerator.model == "H800"
    assert two.preemptible
    assert four.shape.accelerator is None
    assert found == {
        NEVER_RAN: 1,
        "the device T4 is not in the registry": 1,
        "several GPU models, any of which would do": 1,
        "gpu_milli is no share of its GPUs": 1,
    }


TASKS = """\
j1,worker,2.0,Terminated,500.0,600.0,600.0,29.296875,50.0,T4
j1,ps,1.0,Terminated,500.0,650.0,100.0,1.0,,
j2,tensorflow,1.0,Running,700.0,,600.0,1.0,100.0,V100
j3,tensorflow,1.0,Terminated,800.0,900.0,600.0,1.0,100.0,V100
"""
JOBS = """\
j1,i1,ua,Terminated,400.0,700.0
j2,i2,ub,Running,690.0,
"""


def test_pai_takes_submissions_from_the_table_of_jobs(put, jobs_of):
    put("pai_job_table.csv", JOBS)
    (one, two, four), found = jobs_of(put("pai_task_table.csv", TASKS))
    # The first submission, of the world's clock, becomes zero.
    assert [job.submitted_ms for job in (one, two, four)] == [0, 0, 400_000]
    assert (one.tasks, one.runtimes_ms, one.user) == (2, (100_000,), "ua")
    assert one.shape.resources.values() == (6_000, round(29.296875 * GIB), 0, 500)
    assert two.shape.resources.values() == (1_000, GIB, 0, 0)
    assert four.user == ""
    assert found == {NEVER_RAN: 1}


def test_pai_without_it_says_so_and_gangs_on_request(put, jobs_of):
    (one, *_), found = jobs_of(put("pai_task_table.csv", TASKS), gang=True)
    assert (one.tasks, one.shape.nodes) == (1, 2)
    assert found["no pai_job_table beside it"] == 1
    # A file with its own line of names reads the same.
    named = put("tasks.csv", ",".join(KINDS["pai"].columns) + "\n" + TASKS)
    assert jobs_of(named, gang=True)[0][0] == one


DLRM = """\
instance_sn,role,app_name,cpu_request,gpu_request,rdma_request,memory_request,disk_request,max_instance_per_node,creation_time,scheduled_time,deletion_time
i1,CN,a1,96,0,1,500.0,408.0,-1,,,
i2,HN,a2,8,1,25,32.0,170.0,4,100.0,110.0,210.0
i3,HN,a2,8,1,25,32.0,170.0,4,,,50.0
i4,HN,a2,8,1,25,32.0,170.0,4,300.0,,400.0
"""


def test_dlrm(put, jobs_of):
    (one, three, two), found = jobs_of(put("dlrm.csv", DLRM), queues=True)
    # There before the trace began; to its last moment, to its deletion.
    assert (one.submitted_ms, one.runtimes_ms) == (0, (400_000,))
    assert (three.submitted_ms, three.runtimes_ms) == (0, (50_000,))
    assert (two.submitted_ms, two.runtimes_ms) == (100_000, (100_000,))
    assert one.shape.resources.values() == (96_000, 500 * GIB, 408 * GIB, 0)
    assert (two.name, two.queue) == ("a2", "HN")
    assert found == {
        "not deleted within the trace": 1,
        "created in the trace and never scheduled": 1,
        "an arrival before that of an earlier one": 1,
    }


GENAI = """\
gmt_create,predict_type,predict_status,exec_time_seconds,groupId,checkpoint_model_version_id
2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.5,G0,M0
2024-11-15 16:58:50,TXT_2_IMG,PENDING,0.0,G1,
2024-11-15 16:58:51,IMG_2_IMG,FAILED,3,G1,M1
"""


def test_genai(put, jobs_of):
    (one, two), found = jobs_of(put("requests.csv", GENAI), gpu_milli=500)
    assert (one.submitted_ms, one.runtimes_ms, one.user, one.name) == (0, (32_500,), "G0", "M0")
    assert one.shape.resources.values() == (0, 0, 0, 500)
    assert two.submitted_ms == 61_000
    assert found == {NEVER_RAN: 1}


SPOT = """\
job_name,organization,gpu_model,cpu_request,gpu_request,worker_num,submit_time,duration,job_type
1,13,A10,20,1,1,0,2764799,HP
2,57,A100-SXM4-80GB,15,1,16,9589663,41060,Spot
"""


def test_spot(put, jobs_of):
    (one, two), found = jobs_of(put("job_info_df.csv", SPOT))
    assert (one.priority, one.preemptible) == (1, False)
    assert (two.priority, two.preemptible, two.tasks) == (0, True, 16)
    assert two.shape.accelerator.model == "A100-80"
    assert two.shape.resources.values() == (15_000, 0, 0, 1_000)
    assert found == {"the device A10 is not in the registry": 1}


def test_machines_are_no_jobs(put):
    path = put("nodes.csv", "gpu_model,gpu_capacity_num,cpu_num,node_name\nA10,1,128,2\n")
    with pytest.raises(InputError, match="these are machines, not jobs"):
        recognise(path)


HELIOS = """\
job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue
1,uX,vcA,16,64,2,COMPLETED,2020-06-09 18:41:01,,,36848,0
2,uY,vcB,3,16,2,FAILED,2020-06-09 18:41:27,,,249,0
3,uZ,vcB,0,4,0,CANCELLED,2020-06-09 18:41:28,,,0,0
4,uZ,vcB,0,4,1,CANCELLED,last week,,,0,0
"""


def test_helios(put, jobs_of):
    (one, two, three), found = jobs_of(put("cluster_log.csv", HELIOS), queues=True)
    assert (one.shape.nodes, one.shape.resources.values()) == (2, (32_000, 0, 0, 8_000))
    assert (one.user, one.queue, one.runtimes_ms) == ("uX", "vcA", (36_848_000,))
    assert (two.submitted_ms, two.shape.resources.accelerator_milli) == (26_000, 2_000)
    assert three.shape.nodes == 1
    assert found == {
        "GPUs that its nodes cannot share evenly": 1,
        "no number of nodes": 1,
        "submit_time is no moment": 1,
    }


KALOS = """\
job_id,user,node_num,gpu_num,cpu_num,mem_per_pod_GB,shared_mem_per_pod,type,state,submit_time,start_time,end_time,fail_time,stop_time,duration,queue,gpu_time
d1,uf,8,64,960,1000,100.0,Other,FAILED,2023-05-17 11:00:58+00:00,,,,,18,10.0,1152.0
d2,uf,1,8,128,,,Pretrain,COMPLETED,2023-05-17 13:01:58+02:00,,,,,82,12.0,5248.0
"""


def test_acme(put, jobs_of):
    (one, two), found = jobs_of(put("trace_kalos.csv", KALOS))
    assert (one.shape.nodes, one.shape.resources.values()) == (8, (120_000, 10**12, 0, 8_000))
    # An hour and two zones apart, a minute in truth.
    assert (two.submitted_ms, two.name, two.shape.resources.memory_bytes) == (60_000, "Pretrain", 0)
    assert found == {}


GAVEL = """\
seed,job_id,unit_arrival,job_type,scale_factor,v100_duration_s,total_steps
0,0,0.0,ResNet-18 (batch size 64),8,68344.35,1.7e7
1,0,0.1,LM,1,10.0,5
0,1,0.5,"A3C, big",1,2146.6,5
"""


def test_gavel(put, jobs_of):
    (one, two), found = jobs_of(put("gavel.csv", GAVEL), jobs_per_hour="2", gpus_per_node=4)
    assert (one.shape.nodes, one.shape.resources.accelerator_milli) == (2, 4_000)
    assert (one.runtimes_ms, one.name) == ((68_344_350,), "ResNet-18 (batch size 64)")
    assert (two.submitted_ms, two.name) == (900_000, "A3C, big")
    assert found == {}
    (only,), _ = jobs_of(put("gavel.csv", GAVEL), trace_seed=1)
    assert only.name == "LM"
    with pytest.raises(InputError, match="no job is left"):
        read(put("gavel.csv", GAVEL), trace_seed=7).jobs()


def test_gaia_counts_in_hours(put, jobs_of):
    body = "arrival_time,length,cpus\n0.5,25.5,2\n1,-1,4\n,1,1\n2,1,0\n"
    (one,), found = jobs_of(put("gaia.csv", body))
    assert (one.submitted_ms, one.runtimes_ms) == (1_800_000, (91_800_000,))
    assert one.shape.resources.cpu_milli == 2_000
    assert found == {NEVER_RAN: 1, "no arrival_time": 1, "it asks for nothing": 1}


def test_philly_as_a_table(put, jobs_of):
    body = "timestamp,duration,num_gpus,gpu_time,cluster\n2017-09-04 10:30:41,60,16,960,7f04ca\n"
    (job,), _ = jobs_of(put("philly.csv", body), queues=True)
    assert (job.submitted_ms, job.shape.nodes, job.queue) == (0, 2, "7f04ca")
    assert job.shape.resources.values() == (0, 0, 0, 8_000)


def test_columns(put, jobs_of):
    head = "job_id,submit_s,run_s,procs,req_time_s,user_id\n"
    body = head + "1,5,10,4,20,-1\n2,6,10,2.5,-1,3\n3,7,1,1,,3\n"
    (one, three), found = jobs_of(put("log.csv", body))
    assert (one.estimate_ms, one.user) == (20_000, "")
    assert (three.estimate_ms, three.user) == (0, "3")
    assert found == {"procs is no whole number": 1}


def test_sia_runs_as_long_as_the_measured_tables_say(put_table, jobs_of):
    path = put_table(
        "workloads.parquet",
        {
            "set": ["philly", "philly", "other", "philly"],
            "workload": [1, 1, 1, 2],
            "name": ["a-0", "b-1", "a-2", "a-3"],
            "time": [7.0, 8.0, 9.0, 9.0],
            "application": ["net", "alien", "net", "net"],
            "num_replicas": [6, 1, 1, 1],
            "batch_size": [96, 8, 8, 8],
        },
    )
    with pytest.raises(InputError, match=r"no validation.parquet beside it"):
        read(path).jobs()
    put_table(
        "validation.parquet",
        {"model": ["net", "net", "net"], "batch_size": [96, 96, 48], "iteration": [10, 100, 300]},
    )
    put_table(
        "scalability.parquet",
        {
            "model": ["net"] * 3, "gpu_type": ["aws", "aws", "rtx"], "num_replicas": [6, 6, 1],
            "local_bsz": [4.0, 10.0, 1.0], "step_time": [1.0, 1.6, 9.0],
            "sync_time": [0.2, 0.2, 0.1],
        },
    )  # fmt: skip
    (job,), found = jobs_of(path, gpus_per_node=2)
    # 96 = 6 cards × 2 steps of 8. A step takes 1.4 s; the first of two is not synchronised.
    assert job.runtimes_ms == (round(100 * (1.4 + 1.2) * 1_000),)
    assert (job.submitted_ms, job.name) == (7_000, "net")
    assert (job.shape.nodes, job.shape.resources.accelerator_milli) == (3, 2_000)
    assert found == {"no times were measured for its application": 1}
    with pytest.raises(InputError, match=r"no GPU 'h100' was measured.*aws, rtx"):
        read(path, gpu="h100").jobs()


def test_parquet_and_csv_read_alike(put, put_table, jobs_of):
    values = {"arrival_time": [0.0, 2.0, 1.0], "length": [1.5, None, 2.0], "cpus": [1, 2, 3]}
    body = "arrival_time,length,cpus\n0.0,1.5,1\n2.0,,2\n1.0,2.0,3\n"
    assert jobs_of(put_table("a.parquet", values)) == jobs_of(put("a.csv", body))


@pytest.mark.parametrize("name", sorted(name for name, one in KINDS.items() if one.columns))
def test_missing_columns_are_named(put, name):
    # A table without a line of names cannot lack one.
    if KINDS[name].header:
        return
    path = put("some.csv", "alpha,beta\n1,2\n")
    with pytest.raises(InputError) as caught:
        read(path, name)
    for column in KINDS[name].columns:
        assert column in caught.value.what
