"""infra/terraform: its fields, what its rules remove, and what its roles may do, shown by `gan` behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from gan_core.config import Experiment
from gan_core.errors import StoreError
from gan_core.manifest import MANIFEST, Manifest
from gan_core.store import Store
from pipelines import housekeeping
from pipelines.attempt import attempt
from pipelines.cli import main
from pipelines.profile import Profile
from tests.artefacts import finish_run, finish_scores, publish_as
from tests.infra.aws_policies import Asked, allowed
from tests.infra.findings import files_of, planted
from tests.infra.guarded_s3 import Guard, guarded
from tests.infra.terraform import BUCKET, Module, check, expiring, policy
from tests.train.runs import train

URL = "s3://bucket/gans"
KEPT_FOR_GOOD = ("admitted", "aliases", "gates")


@pytest.fixture(scope="module")
def files() -> Mapping[str, str]:
    return files_of("terraform")


@pytest.fixture(scope="module")
def module(files: Mapping[str, str]) -> Module:
    return Module.of(files)


def test_the_files_are_in_order(files: Mapping[str, str]) -> None:
    assert list(map(str, check(files))) == []


@pytest.mark.parametrize(("file", "right", "wrong", "told"), [
    ("bucket.tf", "block_public_acls ", "block_public_acl ", "block_public_acl: is no field"),
    ("bucket.tf", "block_public_acls       = true", "", "block_public_acls: is missing"),
    ("bucket.tf", "restrict_public_buckets = true", "restrict_public_buckets = false", "be made public"),
    ("bucket.tf", '"Enabled"', '"On"', "versioning_configuration.status: is \"On\"; one of Disabled, Enabled"),
    ("lifecycle.tf", "noncurrent_days", "noncurrent_day", "noncurrent_version_expiration.noncurrent_day: is no field"),
    ("lifecycle.tf", "var.log_days", "var.logs_days", "var.logs_days: is declared nowhere"),
    ("roles.tf", "assume_role_policy ", "assume_policy ", "aws_iam_role.store.assume_role_policy: is missing"),
    ("roles.tf", 'type        = "Service"', 'kind        = "Service"', "principals.kind: is no field"),
    ("roles.tf", "aws_iam_policy.store[", "aws_iam_policy.stores[", "aws_iam_policy.stores: is declared nowhere"),
    ("roles.tf", '"aws_iam_instance_profile"', '"aws_iam_instance_profiles"', "is of a type"),
    ("access.tf", '["s3:GetObject"]', '["s3:*"]', "aws_iam_policy_document.reader.Read: allows s3:*"),
    ("access.tf", '["${local.inside}/*"]', '["*"]', "reader.Read: reaches beyond the store's prefix"),
    ("outputs.tf", "  description = \"What --store", "  # \"What --store", "output store.description: is missing"),
    ("versions.tf", "region = var.region", 'secret_key = "hunter2"', "holds a secret in clear"),
    ("versions.tf", '"~> 6.0"', '">= 6.0"', "required_providers.aws.version: has no upper bound"),
    ("bucket.tf", "{\n  bucket = var", "{{\n  bucket = var", "does not parse"),
])
def test_a_planted_fault_is_named(files: Mapping[str, str], file: str, right: str, wrong: str, told: str) -> None:
    found = [str(one) for one in check(planted(files, f"terraform/{file}", right, wrong))]
    assert any(told in one for one in found), found
    assert all(file in one or "parse" in told for one in found if told in one)


def test_nothing_that_a_manifest_reaches_is_ever_removed_by_a_rule(
    module: Module, undisturbed: tuple[Path, str, str]
) -> None:
    """On the store of a real run, where its log is all that goes."""
    store = Store(undisturbed[0])
    assert len(reached(store)) > 20
    assert removed(module, store) & reached(store) == set()
    assert {path.partition("/")[0] for path in removed(module, store)} == {"logs"}


def removed(module: Module, store: Store) -> set[str]:
    """Every object that a rule removes when it is old enough, for the store s3://bucket/gans."""
    prefixes = tuple(expiring(module))
    return {path for path in store.sizes("") if f"gans/{path}".startswith(prefixes)}


def reached(store: Store) -> set[str]:
    """Every manifest, and every file that one lists."""
    found = set()
    for path in store.sizes(""):
        if path.rpartition("/")[2] == MANIFEST:
            manifest = Manifest.model_validate_json(store.read(path))
            found |= {path, *(f"{path.removesuffix(MANIFEST)}{file.path}" for file in manifest.files)}
    return found


@pytest.mark.parametrize("folder", ["shards/", "features/", "runs/", "scores/", "models/", "models/digits/v", "r", ""])
def test_a_rule_that_would_reach_an_artefact_shows(
    files: Mapping[str, str], folder: str, undisturbed: tuple[Path, str, str]
) -> None:
    store = Store(undisturbed[0])
    wider = planted(files, "terraform/lifecycle.tf", "${var.prefix}/logs/", f"${{var.prefix}}/{folder}")
    assert removed(Module.of(wider), store) & reached(store)


@pytest.mark.parametrize("folder", [*housekeeping.KINDS, "models", "experiments", "locks", "jobs", "fingerprints"])
def test_no_rule_speaks_of_a_folder_that_housekeeping_knows(module: Module, folder: str) -> None:
    """Of those too that the small run does not make."""
    assert not [prefix for prefix in expiring(module) if f"gans/{folder}/".startswith(prefix)
                or prefix.startswith(f"gans/{folder}/")]


def test_nothing_but_tls_is_let_through_and_nobody_writes_history_twice(module: Module) -> None:
    writer, bucket = policy(module, "writer"), policy(module, "bucket")
    move = f"{BUCKET}/gans/models/digits/aliases/champion/000001.json"
    asked = [Asked("s3:PutObject", move, {"s3:if-none-match": "*", **how}) for how in (
        {}, {"aws:SecureTransport": "false"}, {"s3:TlsVersion": "1.1"})]
    assert [allowed(one, writer, bucket) for one in asked] == [True, False, False]
    model = f"{BUCKET}/gans/models/digits"
    for path in ("aliases/champion/000001.json", "gates/0001-abc.json", "admitted/k/000001.json",
                 f"versions/0001/{MANIFEST}"):
        assert not allowed(Asked("s3:PutObject", f"{model}/{path}"), writer, bucket)


@contextmanager
def as_role(guard: Guard, module: Module, name: str) -> Iterator[None]:
    guard.role, guard.granted = policy(module, name), set()
    guard.refused.clear()
    try:
        yield
    finally:
        guard.role = None


@pytest.fixture(scope="module")
def guard(module: Module) -> Iterator[Guard]:
    with guarded("bucket", policy(module, "bucket")) as found:
        yield found


@pytest.fixture(scope="module")
def published(
    guard: Guard, module: Module, digits_store: Store, experiment: Callable[..., Experiment]
) -> tuple[Store, set[str]]:
    """What a writer does, from the lock to the version and to cleaning up; and the actions that it took."""
    store = Store(URL)
    with as_role(guard, module, "writer"):
        store.check_writable()
        with attempt(store, experiment(), Profile(), frozenset(), by="gan run") as made:
            train(store, digits_store, experiment(train={"images": 128}))
            for key in ("r1", "r2"):
                run = finish_run(store, key)
                publish_as(store, f"p-{key}", run, finish_scores(store, run, f"e-{key}"))
        assert made.error is None
        store.put(Path(__file__), "runs/r/large")  # files may come in parts
        now = housekeeping.time_of(store) + timedelta(days=30)
        old = housekeeping.garbage(housekeeping.survey(store), timedelta(days=7), now)
        assert "runs/r" in [item.prefix for item in housekeeping.remove(store, old)]
        store.abort_uploads(timedelta(days=7), now)
    assert guard.refused == []
    return store, guard.granted


def test_a_writer_may_do_all_that_a_pipeline_does_and_cleaning_up(published: tuple[Store, set[str]]) -> None:
    store, granted = published
    assert store.names("models/digits/versions") == ["0001", "0002"]
    assert granted == {f"s3:{action}" for action in (
        "DeleteObject", "GetObject", "ListBucket", "ListBucketMultipartUploads", "PutObject")}


def test_a_writer_may_not_take_history_away(guard: Guard, module: Module, published: tuple[Store, set[str]]) -> None:
    store, _ = published
    with as_role(guard, module, "writer"):
        for folder in KEPT_FOR_GOOD:
            with pytest.raises(StoreError, match="Denied"):
                store.delete(f"models/digits/{folder}")
        with pytest.raises(StoreError):
            store.delete("experiments")
    assert all(store.names(f"models/digits/{folder}") for folder in KEPT_FOR_GOOD)


def gan(*words: str) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--store", URL])
    return int(ended.value.code or 0)


LOOKS = (["models", "list"], ["models", "show", "digits"], ["models", "verify", "digits@0001"],
         ["models", "history", "digits"], ["store", "du"], ["runs", "list"])


def test_a_reader_looks_at_all_there_is_and_changes_nothing(
    guard: Guard, module: Module, published: tuple[Store, set[str]], tmp_path: Path
) -> None:
    store, _ = published
    with as_role(guard, module, "reader"):
        assert [gan(*words) for words in LOOKS] == [0] * len(LOOKS)
        assert gan("sample", "digits@latest", "--out", str(tmp_path / "x.png")) == 0
        assert gan("models", "pull", "digits@0002", "--to", str(tmp_path / "pulled")) == 0
        assert guard.granted == {"s3:GetObject", "s3:ListBucket"}
        assert guard.refused == []
        assert gan("models", "promote", "digits@0001", "--reason", "may a reader?") == 1
        with pytest.raises(StoreError):
            store.delete("models")
    assert len(store.names("models/digits/aliases/champion")) == 2


def test_a_promoter_moves_aliases_and_nothing_else(
    guard: Guard, module: Module, published: tuple[Store, set[str]]
) -> None:
    store, _ = published
    with as_role(guard, module, "promoter"):
        assert gan("models", "promote", "digits@0001", "--reason", "looked at") == 0
        assert gan("models", "rollback", "digits", "--reason", "looked again") == 0
        assert guard.refused == []
        for path in ("runs/x/y", "models/digits/versions/0003/config.json", ".doctor/verdict.json"):
            with pytest.raises(StoreError):
                store.write(path, b"")
        with pytest.raises(StoreError):
            store.delete("models/digits/aliases")
    assert [*store.names("models/digits/aliases/champion")] == [f"{n:06d}.json" for n in (1, 2, 3, 4)]


def test_an_alias_cannot_be_moved_past_its_history(
    guard: Guard, module: Module, published: tuple[Store, set[str]]
) -> None:
    store, _ = published
    for role in ("writer", "promoter"):
        with as_role(guard, module, role), pytest.raises(StoreError):
            store.write("models/digits/aliases/champion/000001.json", b"another past")

