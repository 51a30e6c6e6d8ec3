"""The DICOM node as processes, between archives, peers and senders on loopback ports."""

import io
import re
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pydicom
import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom import uid
from pynetdicom import AE, evt
from served import serving

from bench.node import Sender, broken_stow
from bench.pacs import Node, Pacs, dimse, missing_tools, node_running, running, stow, wait_for
from bench.processes import free_port
from bench.radiographs import radiographs
from bench.raw_store import store_raw

pytestmark = [
    pytest.mark.timeout(240),
    # The real radiograph's referring physician is one word, which readers remark on.
    pytest.mark.filterwarnings("ignore:.*unlikely to be a valid person name:UserWarning"),
]
needs_pacs = pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))
LIMIT = 120

PIXELMED = Path("/usr/share/java/pixelmed.jar")
STORESCU = shutil.which("storescu", path="/usr/bin:/usr/local/bin")
"""dcmtk's: pynetdicom installs a script of the same name."""


@pytest.fixture(scope="module")
def served(demo_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served-node")
    with serving(demo_bundle, folder) as running_service:
        yield running_service


def results_by_study(pacs, sources):
    """The modalities of all that is no source, by study."""
    found = {}
    for each in pacs.instances():
        if each.uid not in sources:
            found.setdefault(each.study, []).append(each.modality)
    return {study: sorted(modalities) for study, modalities in found.items()}


def studies(images):
    return {
        str(pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True).StudyInstanceUID)
        for file in images.values()
    }


class Peer:
    """A storage SCP with the given SOP classes, which keeps what it is sent."""

    def __init__(self, *sop_classes, status=0x0000, port=None):
        self.port = port or free_port()
        self.datasets = []
        self.calls = 0
        self._status = status
        entity = AE(ae_title="PEER")
        for each in sop_classes:
            entity.add_supported_context(each)
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def _store(self, event):
        self.calls += 1
        if self._status == 0:
            self.datasets.append(event.dataset)
        return self._status

    def table(self, name, more=""):
        return (
            f'name = "{name}"\nkind = "dimse"\nhost = "127.0.0.1"\nport = {self.port}\n'
            f'ae_title = "PEER"\n{more}'
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        for each in self._server.active_associations:  # shutdown leaves them open
            each.abort()


@needs_pacs
def test_an_archive_sends_and_gets_results_in_the_study(served, tmp_path):
    """Orthanc sends by C-STORE and by STOW-RS and gets one SR and one SC in each study."""
    images = dict(radiographs(6))
    pacs = Pacs("SOURCE", tmp_path / "pacs")
    node = Node(tmp_path / "node", served.url, [dimse("pacs", pacs), stow("again", pacs)])
    pacs.modalities["node"] = (node.title, node.port)
    pacs.servers["node"] = f"{node.url}/dicomweb/"
    with running(pacs), node_running(node):
        assert "pacs: C-ECHO is answered" in node.run("check")
        identifiers = [pacs.add(file) for file in images.values()]
        pacs.post("/modalities/node/store", identifiers[:4])
        pacs.post("/dicom-web/servers/node/stow", {"Resources": identifiers[3:]})
        wait_for(node.idle, LIMIT, "the end")
        assert results_by_study(pacs, images) == {each: ["OT", "SR"] for each in studies(images)}
        assert node.counts()["instances"] == {"scored": 6}
        # Its own results, forwarded with the whole study, are taken and make no work.
        everything = [each.id for each in pacs.instances()]
        sent = pacs.post("/modalities/node/store", everything)
        assert sent["FailedInstancesCount"] == 0
        assert node.counts()["instances"] == {"scored": 6}


@needs_pacs
def test_nothing_is_lost_or_doubled_when_parts_are_killed(served, tmp_path):
    """Sent three times while both parts are killed: one SR and one SC of each acknowledged."""
    images = dict(radiographs(6, real_every=0))
    pacs = Pacs("ARCHIVE", tmp_path / "pacs")
    node = Node(tmp_path / "node", served.url, [dimse("pacs", pacs)])
    with running(pacs), node_running(node):
        acknowledged = set()
        for part in ("receiver", "worker", "receiver"):
            answered = Sender(node).send(list(images.values()), abort_after=None)
            acknowledged |= {name for name, status in answered.items() if status == 0}
            assert node.kill(part)
            wait_for(lambda part=part: node.part(part) is not None, 30, "the part's return")
            wait_for(node.answers, 30, "an answer")
        wait_for(node.idle, LIMIT, "the end")
        assert acknowledged == set(images)
        assert results_by_study(pacs, images) == {each: ["OT", "SR"] for each in studies(images)}


def test_each_peer_ends_where_it_should(served, tmp_path):
    """A peer that takes pictures only, one that takes nothing, one that refuses and one that hangs
    do not touch each other, nor one that takes Basic Text SR only."""
    hanging = socket.create_server(("127.0.0.1", 0))
    images = dict(radiographs(1, real_every=0))
    silent = (
        f'name = "hangs"\nkind = "dimse"\nhost = "127.0.0.1"\nport = {hanging.getsockname()[1]}\n'
        'ae_title = "PEER"\ntimeout_seconds = 1\ngive_up_seconds = 5\n'
    )
    with (
        Peer(uid.SecondaryCaptureImageStorage) as pictures,
        Peer("1.2.840.10008.1.1") as nothing,
        Peer(uid.BasicTextSRStorage) as texts,
        Peer(uid.SecondaryCaptureImageStorage, status=0xA900) as refusing,
    ):
        tables = [
            pictures.table("pictures"),
            nothing.table("nothing"),
            texts.table("texts", 'objects = ["sr"]'),
            refusing.table("refuses", 'objects = ["sc"]'),
            silent,
        ]
        node = Node(tmp_path / "node", served.url, tables)
        with node_running(node):
            assert set(Sender(node).send(list(images.values())).values()) == {0}
            wait_for(node.idle, LIMIT, "the end")
            assert node.counts()["destinations"] == {
                "pictures": {"dead": 1, "delivered": 1},
                "nothing": {"dead": 2},
                "texts": {"delivered": 1},
                "refuses": {"dead": 1},
                "hangs": {"dead": 2},
            }
            reasons = {each["where"]: each["reason"] for each in node.status()["dead"]}
        assert refusing.calls == 1
        assert [each.SOPClassUID for each in texts.datasets] == [uid.BasicTextSRStorage]
        unaccepted = "the destination accepts no presentation context for it"
        assert reasons["pictures sr"] == reasons["nothing sc"] == unaccepted
        assert reasons["refuses sc"] == "status A900"
        assert reasons["hangs sr"].startswith("given up: ")
    hanging.close()


def test_a_peer_that_takes_another_report_than_before_gets_it(served, tmp_path):
    """What was made for it before it changed is made once more, in the form that it takes now."""
    (_, first), (_, second) = radiographs(2, real_every=0)
    peer = Peer(uid.Comprehensive3DSRStorage)
    node = Node(tmp_path / "node", served.url, [peer.table("peer", 'objects = ["sr"]')])
    with node_running(node):
        with peer:
            Sender(node).send([first])
            wait_for(node.idle, LIMIT, "the first")
        with Peer(uid.BasicTextSRStorage, port=peer.port) as changed:
            Sender(node).send([second])
            wait_for(node.idle, LIMIT, "the second")
            assert node.counts()["destinations"] == {"peer": {"delivered": 2}}
    kinds = [each.SOPClassUID for each in (*peer.datasets, *changed.datasets)]
    assert kinds == [uid.Comprehensive3DSRStorage, uid.BasicTextSRStorage]


def altered(file, **attributes):
    """The same file with other attributes."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    for name, value in attributes.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_objects_are_valid_for_others(served, tmp_path):
    """Of real, drawn, warned and refused images, dciodvfy finds no error in any object, nor does
    PixelMed in any report."""
    if shutil.which("dciodvfy") is None or shutil.which("java") is None or not PIXELMED.is_file():
        pytest.skip("dicom3tools, Java or PixelMed is not installed")
    files = [file for _, file in radiographs(4, real_every=2)]
    files[1] = altered(files[1], BurnedInAnnotation="YES")
    files[3] = altered(files[3], ViewPosition="LATERAL")
    results = tmp_path / "results"
    results.mkdir()
    table = f'name = "files"\nkind = "folder"\nfolder = "{results}"'
    node = Node(tmp_path / "node", served.url, [table], settings=['refused = "report"'])
    with node_running(node):
        assert set(Sender(node).send(files).values()) == {0}
        wait_for(node.idle, LIMIT, "the end")
        assert node.counts()["instances"] == {"refused": 1, "scored": 3}
    written = sorted(results.rglob("*.dcm"))
    assert len(written) == 7
    limits = [f"-Djdk.xml.xpath{each}Limit=0" for each in ("TotalOp", "ExprOp", "ExprGrp")]
    validator = ["java", *limits, "-cp", f"{PIXELMED}:{PIXELMED.parent}/*"]
    validator.append("com.pixelmed.validate.DicomSRValidator")
    for file in written:
        report = pydicom.dcmread(file, stop_before_pixels=True).Modality == "SR"
        for command in (["dciodvfy"], *([validator] if report else [])):
            done = subprocess.run(
                [*command, file], capture_output=True, text=True, check=False, timeout=60
            )
            told = (done.stdout + done.stderr).splitlines()
            assert [line for line in told if "Error" in line] == []


@needs_pacs
def test_storage_commitment_ends_a_delivery(served, tmp_path):
    """Where it is set, a result counts as delivered when Orthanc has committed itself to it."""
    images = dict(radiographs(1, real_every=0))
    pacs = Pacs("ARCHIVE", tmp_path / "pacs")
    table = dimse("pacs", pacs, "storage_commitment = true")
    node = Node(tmp_path / "node", served.url, [table], accept=("SENDER", "ARCHIVE"))
    pacs.modalities["node"] = (node.title, node.port)
    with running(pacs), node_running(node):
        Sender(node).send(list(images.values()))
        wait_for(node.idle, LIMIT, "the end")
        assert node.counts()["destinations"] == {"pacs": {"delivered": 2}}
    assert "StorageCommitment" in (pacs.folder / "orthanc.log").read_text()


def test_a_fhir_server_gets_what_the_report_says(served, tmp_path):
    """Score, decision and warnings of the transaction are those of the structured report."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with (
        HTTPServer(("127.0.0.1", 0), Handler) as server,
        Peer(uid.Comprehensive3DSRStorage) as peer,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        tables = [
            f'name = "fhir"\nkind = "fhir"\nurl = "{url}"',
            peer.table("peer", 'objects = ["sr"]'),
        ]
        node = Node(tmp_path / "node", served.url, tables)
        with node_running(node):
            Sender(node).send([next(iter(radiographs(1, real_every=0)))[1]])
            wait_for(node.idle, LIMIT, "the end")
        server.shutdown()
    bundle = Bundle.model_validate_json(posted[0])
    found = {type(each.resource).__name__: each.resource for each in bundle.entry}
    observation = found["Observation"]
    (report,) = peer.datasets
    texts = [e.value for e in report.iterall() if e.VR == "UT"]
    numbers = [float(e.value) for e in report.iterall() if e.keyword == "NumericValue"]
    assert [float(each.valueQuantity.value) for each in observation.component] == numbers
    assert {each.text for each in observation.note} < set(texts)
    assert found["DiagnosticReport"].conclusion.splitlines()[0] in texts
    meanings = [e.value for e in report.iterall() if e.keyword == "CodeMeaning"]
    assert observation.valueCodeableConcept.text in meanings


@pytest.mark.parametrize("refused", ["nothing", "report"])
def test_what_is_refused_ends_with_its_reason(served, tmp_path, refused):
    """A lateral view yields nothing or, where it is set, a report that says why."""
    name, file = next(iter(radiographs(1, real_every=0)))
    lateral = altered(file, ViewPosition="LATERAL")
    with Peer(uid.Comprehensive3DSRStorage, uid.SecondaryCaptureImageStorage) as peer:
        setting = f'refused = "{refused}"'
        node = Node(tmp_path / "node", served.url, [peer.table("peer")], settings=[setting])
        with node_running(node):
            assert Sender(node).send([lateral]) == {name: 0}
            wait_for(node.idle, LIMIT, "the end")
            (ended,) = node.status()["dead"]
        assert (ended["where"], ended["reason"].split(":")[0]) == ("refused", "not_frontal")
        texts = [e.value for each in peer.datasets for e in each.iterall() if e.VR == "UT"]
        assert len(peer.datasets) == (refused == "report")
        assert any("Not analysed" in each for each in texts) == (refused == "report")
        assert any("The view is not frontal" in each for each in texts) == (refused == "report")


def test_the_disk_and_the_queue_have_a_limit(served, tmp_path):
    """Without room the sender sees A700 and the node is not ready; a full queue likewise."""
    images = list(radiographs(2, real_every=0))
    with Peer(uid.SecondaryCaptureImageStorage) as peer:
        # The service is nowhere, so that what is taken stays in the queue.
        node = Node(
            tmp_path / "node",
            f"http://127.0.0.1:{free_port()}",
            [peer.table("peer")],
            settings=["max_queued = 1"],
        )
        with node_running(node):
            answered = Sender(node).send([file for _, file in images])
            assert answered == {images[0][0]: 0, images[1][0]: 0xA700}
            assert httpx.get(f"{node.url}/readyz").status_code == 503


def test_stow_answers_as_the_standard_says(served, tmp_path):
    """A stored instance is referenced, a refused one has its reason, and what is broken is 4xx."""
    ((name, file),) = radiographs(1, real_every=0)
    with Peer(uid.SecondaryCaptureImageStorage) as peer:
        node = Node(tmp_path / "node", served.url, [peer.table("peer")])
        with node_running(node):
            head = b"--B\r\nContent-Type: application/dicom\r\n\r\n"
            kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
            body = head + file + b"\r\n--B--\r\n"
            url = f"{node.url}/dicomweb/studies"
            stored = httpx.post(url, content=body, headers=kind)
            assert stored.status_code == 200
            (reference,) = stored.json()["00081199"]["Value"]
            assert reference["00081155"]["Value"] == [name]
            other = httpx.post(f"{url}/1.2.3", content=body, headers=kind)
            assert other.status_code == 409
            (failure,) = other.json()["00081198"]["Value"]
            assert failure["00081197"]["Value"] == [0xC122]
            assert broken_stow(node) == {
                "no boundary": 400,
                "no end": 400,
                "no parts": 400,
                "not DICOM": 409,
                "another type": 415,
                "empty": 400,
            }


def test_damaged_files_end_with_a_reason(served, tmp_path):
    """Mutated data sets stop nothing: each is refused, dead with a reason, or delivered."""
    from bench.mutate import mutants

    with Peer(uid.Comprehensive3DSRStorage, uid.SecondaryCaptureImageStorage) as peer:
        node = Node(tmp_path / "node", served.url, [peer.table("peer")], settings=["attempts = 2"])
        with node_running(node):
            told = [store_raw(node, f"2.25.{900 + seed}", data) for seed, _, data in mutants(0, 30)]
            wait_for(node.idle, LIMIT, "the end")
            counts, dead = node.counts()["instances"], node.status()["dead"]
            assert node.part("receiver") is not None
        assert sum(counts.values()) == told.count("0000")
        assert all(each["reason"] for each in dead)
    log = (node.folder / "node.log").read_text()
    assert "a part of the node ended" not in log
    assert "Phantom" not in log


def rejected(node, reason):
    """How many peers were turned away for a reason."""
    name = f'cxr_node_rejected_total{{reason="{reason}"}}'
    found = re.search(rf"^{re.escape(name)} (\S+)$", node.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_who_is_not_on_the_list_is_rejected_and_counted(served, tmp_path):
    """A wrong calling or called AE title is rejected, logged and counted."""
    ((_, file),) = radiographs(1, real_every=0)
    with Peer(uid.SecondaryCaptureImageStorage) as peer:
        node = Node(tmp_path / "node", served.url, [peer.table("peer")])
        with node_running(node):
            assert Sender(node, "STRANGER").send([file]) == {}
            node.title, title = "OTHER", node.title
            assert Sender(node).send([file]) == {}
            node.title = title
            for reason in ("calling_ae_title", "called_ae_title"):
                assert rejected(node, reason) == 1
    log = (node.folder / "node.log").read_text()
    assert log.count("Node Authentication") == 2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Keys and certificates of two authorities: `ours` for node and sender, `theirs` of another."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for authority, names in {"ours": ("node", "sender"), "theirs": ("stranger",)}.items():
        run(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *(
                "-subj",
                f"/CN={authority}",
                "-keyout",
                f"{authority}.key",
                "-out",
                f"{authority}.crt",
            ),
        )
        for name in names:
            run(
                *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
                *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
            )
            (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
            run(
                *("x509", "-req", "-in", f"{name}.csr", "-days", "2", "-CA", f"{authority}.crt"),
                *("-CAkey", f"{authority}.key", "-CAcreateserial", "-out", f"{name}.crt"),
                *("-extfile", "names"),
            )
    return folder


@pytest.mark.skipif(STORESCU is None, reason="dcmtk is not installed")
def test_tls_asks_both_sides_for_a_certificate(served, tmp_path, certificates):
    """storescu with a good certificate is served; with another's or with none it is turned away,
    logged and counted, and an open connection that says nothing blocks nobody."""
    ((_, file),) = radiographs(1, real_every=0)
    (tmp_path / "image.dcm").write_bytes(file)
    sides = ", ".join(
        f'{key} = "{certificates / name}"'
        for key, name in {"certificate": "node.crt", "key": "node.key", "ca": "ours.crt"}.items()
    )
    with Peer(uid.SecondaryCaptureImageStorage) as peer:
        settings = [f"tls = {{ {sides} }}", "network_seconds = 5"]
        node = Node(tmp_path / "node", served.url, [peer.table("peer")], settings=settings)
        node.use_tls(
            certificates / "sender.crt", certificates / "sender.key", certificates / "ours.crt"
        )

        def send(*options):
            command = [STORESCU, *options, "-aet", "SENDER", "-aec", node.title]
            done = subprocess.run(
                [*command, "127.0.0.1", str(node.port), tmp_path / "image.dcm"],
                capture_output=True,
                check=False,
                timeout=60,
            )
            return done.returncode

        def shown(name, authority="ours"):
            files = (certificates / f"{name}.key", certificates / f"{name}.crt")
            return ["+tls", *files, "+cf", certificates / f"{authority}.crt"]

        with node_running(node), socket.create_connection(("127.0.0.1", node.port)):
            assert send(*shown("sender")) == 0
            assert send(*shown("stranger")) != 0
            assert send("+tla", "+cf", certificates / "ours.crt") != 0
            assert send() != 0
            assert rejected(node, "tls") >= 3
    assert (node.folder / "node.log").read_text().count("Node Authentication") >= 3


def test_it_ends_with_its_supervisor(served, tmp_path):
    """Both parts end when the supervisor is killed, and SIGTERM ends all with status 0."""
    with Peer(uid.SecondaryCaptureImageStorage) as peer:
        node = Node(tmp_path / "node", served.url, [peer.table("peer")])
        node.start()
        parts = [node.part("receiver"), node.part("worker")]
        node.process.kill()
        node.process.wait()
        wait_for(lambda: not any(each.is_running() for each in parts), 30, "the end of the parts")
        node.start()
        node.process.terminate()
        assert node.process.wait(60) == 0
        node.close()
