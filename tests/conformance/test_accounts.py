"""Several accounts and nobody, on a whole house: keys that come and go, whose things are, who may do what."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from house import House
from nfs_client import NfsClient, NfsStatus, auth_sys

from protocols.nfs.codec.nfs3_types import nfsstat3, sattr3

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN_SECONDS = 2.0
ALL = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
ANN, BOB = 4001, 4002


class Accounts:
    """A house with two more accounts, and a client for each and for nobody."""

    def __init__(self, house: House) -> None:
        self.house = house
        assert house.keys, "asked for while there is one key alone: the first account's"
        self.ann, self.ann_key = self.add("ann", ANN)
        self.bob, self.bob_key = self.add("bob", BOB)
        self.nobody = self.client(signature_version=UNSIGNED)
        self.ids = {row["name"]: row["id"] for row in house.json("account", "list")}

    def add(self, name: str, uid: int) -> tuple[Any, str]:
        self.house.json("account", "add", name, "--uid", str(uid), "--gid", str(uid))
        key = self.house.json("account", "key", "add", name)
        return self.client(key), key["access_key"]

    def client(self, key: dict[str, str] | None = None, **config: Any) -> Any:
        keys = {"aws_access_key_id": key["access_key"], "aws_secret_access_key": key["secret_key"]} if key else {}
        return boto3.client(
            "s3",
            endpoint_url=self.house.endpoint,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **config),
            **keys,
        )

    @contextmanager
    def nfs(self, uid: int) -> Iterator[NfsClient]:
        """Mount the first bucket as *uid*."""
        ports = self.house.nfs_port, self.house.mount_port
        with NfsClient("127.0.0.1", *ports, cred=auth_sys(uid, uid)) as nfs:
            yield nfs


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    """Return a house of this module: further accounts would show in the shared one."""
    house = House.set_up(tmp_path_factory.mktemp("accounts") / "home")
    try:
        accounts = Accounts(house.start())
        yield accounts
        for client in (accounts.ann, accounts.bob, accounts.nobody):
            client.close()
        house.check()
    finally:
        house.remove()


def said(act: Any, **arguments: Any) -> str:
    """Return what S3 answers: a code, or nothing where all is well."""
    try:
        answer = act(**arguments)
    except ClientError as error:
        code: str = error.response["Error"]["Code"]
        return {"403": "AccessDenied", "404": "NoSuchKey"}.get(code, code)  # HEAD has no body
    if "Body" in answer:
        with closing(answer["Body"]) as body:
            body.read()
    errors: list[dict[str, str]] = answer.get("Errors", [])
    return errors[0]["Code"] if errors else ""


DENIED, NO_KEY = "AccessDenied", "NoSuchKey"
#: bucket's ACL -> for bob, then for nobody: list, get the private, get the public, get what is not there, put, delete.
#: ann's files are 600 under `private` and 644 under `public-read`; bob is "others" to them, and so is nobody.
MATRIX = {
    "": (["", DENIED, "", NO_KEY, DENIED, DENIED], [DENIED, DENIED, "", DENIED, DENIED, DENIED]),
    "private": ([DENIED] * 6, [DENIED] * 6),
    "public-read": (["", DENIED, "", NO_KEY, DENIED, DENIED], ["", DENIED, "", NO_KEY, DENIED, DENIED]),
    "authenticated-read": (["", DENIED, "", NO_KEY, DENIED, DENIED], [DENIED, DENIED, "", DENIED, DENIED, DENIED]),
    "public-read-write": (["", DENIED, "", NO_KEY, "", ""], ["", DENIED, "", NO_KEY, "", ""]),
}


@pytest.mark.parametrize("acl", MATRIX)
def test_what_a_buckets_acl_lets_others_and_nobody_do(there: Accounts, acl: str):
    bucket = f"m-{acl or 'none'}"
    there.ann.create_bucket(Bucket=bucket, **({"ACL": acl} if acl else {}))
    for key, canned in (("hidden", "private"), ("shown", "public-read"), ("del-bob", "private"), ("del-no", "private")):
        there.ann.put_object(Bucket=bucket, Key=key, Body=b"x", ACL=canned)
    for who, suffix, wanted in ((there.bob, "bob", MATRIX[acl][0]), (there.nobody, "no", MATRIX[acl][1])):
        got = [
            said(who.list_objects_v2, Bucket=bucket),
            said(who.get_object, Bucket=bucket, Key="hidden"),
            said(who.get_object, Bucket=bucket, Key="shown"),
            said(who.get_object, Bucket=bucket, Key="missing"),
            said(who.put_object, Bucket=bucket, Key=f"new-{suffix}", Body=b"x"),
            said(who.delete_object, Bucket=bucket, Key=f"del-{suffix}"),
        ]
        assert got == wanted, suffix
        assert said(who.head_bucket, Bucket=bucket) == got[0]
        assert said(who.head_object, Bucket=bucket, Key="shown") == got[2]
        many = {"Objects": [{"Key": "not-there"}]}
        assert said(who.delete_objects, Bucket=bucket, Delete=many) == got[5]
        # What no ACL gives to anybody else.
        for verb in (who.delete_bucket, who.get_bucket_acl, who.get_bucket_tagging, who.get_bucket_location):
            assert said(verb, Bucket=bucket) == DENIED
        assert said(who.put_bucket_acl, Bucket=bucket, ACL="public-read-write") == DENIED
        for verb in (who.get_object_acl, who.delete_object_tagging):
            assert said(verb, Bucket=bucket, Key="shown") == DENIED
        assert said(who.put_object_acl, Bucket=bucket, Key="shown", ACL="public-read-write") == DENIED
    assert said(there.nobody.get_object_tagging, Bucket=bucket, Key="shown") == DENIED
    assert said(there.nobody.list_buckets) == DENIED
    assert said(there.nobody.create_bucket, Bucket="mine-at-last") == DENIED


def test_h08_nobody_learns_from_a_condition_what_is_hidden(there: Accounts):
    there.ann.create_bucket(Bucket="h08")
    etag = there.ann.put_object(Bucket="h08", Key="hidden", Body=b"x", ACL="private")["ETag"]
    asked = [{"IfNoneMatch": etag}, {"IfMatch": '"0"'}, {"IfModifiedSince": "2037-01-01"}]
    for conditions in [*asked, {"IfUnmodifiedSince": "1990-01-01"}]:
        for who in (there.nobody, there.bob):
            assert said(who.get_object, Bucket="h08", Key="hidden", **conditions) == DENIED
            assert said(who.head_object, Bucket="h08", Key="hidden", **conditions) == DENIED
    for who in (there.nobody, there.bob):
        assert said(who.put_object, Bucket="h08", Key="hidden", Body=b"y", IfNoneMatch="*") == DENIED
        assert said(who.put_object, Bucket="h08", Key="hidden", Body=b"y", IfMatch='"0"') == DENIED


def test_tags_go_round_and_leave_the_content_alone(there: Accounts):
    there.ann.create_bucket(Bucket="tags")
    there.ann.put_object(Bucket="tags", Key="a", Body=b"x", Tagging="colour=red&with%20space=%C3%BC")
    before = there.ann.head_object(Bucket="tags", Key="a")
    assert before["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    there.ann.put_object_tagging(Bucket="tags", Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    after = there.ann.head_object(Bucket="tags", Key="a")
    assert [after[name] == before[name] for name in ("ETag", "LastModified", "ContentLength")] == [True] * 3
    assert there.bob.get_object_tagging(Bucket="tags", Key="a")["TagSet"] == [{"Key": "k", "Value": "v"}]
    assert said(there.bob.put_object_tagging, Bucket="tags", Key="a", Tagging={"TagSet": []}) == DENIED
    there.ann.put_bucket_tagging(Bucket="tags", Tagging={"TagSet": [{"Key": "cost", "Value": "centre 1"}]})
    assert there.ann.get_bucket_tagging(Bucket="tags")["TagSet"] == [{"Key": "cost", "Value": "centre 1"}]
    there.ann.delete_bucket_tagging(Bucket="tags")
    assert said(there.ann.get_bucket_tagging, Bucket="tags") == "NoSuchTagSet"


def test_a_list_and_an_acl_show_whose_a_thing_is(there: Accounts):
    there.ann.create_bucket(Bucket="owners", ACL="public-read-write")
    for who, key in ((there.ann, "ann"), (there.bob, "bob"), (there.nobody, "nobody")):
        who.put_object(Bucket="owners", Key=key, Body=b"x")
    ann, bob = ({"ID": there.ids[name], "DisplayName": name} for name in ("ann", "bob"))
    for listed in (
        there.bob.list_objects(Bucket="owners")["Contents"],
        there.bob.list_objects_v2(Bucket="owners", FetchOwner=True)["Contents"],
    ):
        assert {each["Key"]: each["Owner"] for each in listed} == {"ann": ann, "bob": bob, "nobody": ann}
    assert there.bob.get_object_acl(Bucket="owners", Key="bob")["Owner"] == bob
    assert there.ann.get_object_acl(Bucket="owners", Key="bob")["Owner"] == bob
    assert there.ann.get_bucket_acl(Bucket="owners")["Owner"] == ann
    assert there.bob.list_buckets()["Owner"] == bob
    assert [each["Name"] for each in there.bob.list_buckets()["Buckets"]] == []


def permissions(answer: dict[str, Any]) -> set[tuple[str, str]]:
    grants = answer["Grants"]
    return {(each["Grantee"].get("URI") or each["Grantee"]["ID"], each["Permission"]) for each in grants}


def test_modes_on_the_mount_and_acls_are_one_thing(there: Accounts):
    """N13 is the last part: what S3 hides, a mount of the bucket hides too."""
    s3, bucket = there.house.s3(), there.house.bucket
    owner = next(row["id"] for row in there.house.json("account", "list") if row["name"] not in {"ann", "bob"})
    full = (owner, "FULL_CONTROL")
    with closing(s3), there.nfs(0) as root, there.nfs(ANN) as ann:
        top = root.mount(there.house.export)
        root.setattr(top, sattr3(mode=0o755))
        modes = {"private": 0o600, "public-read": 0o644, "public-read-write": 0o666, "bucket-owner-full-control": 0o660}
        for acl, mode in modes.items():
            s3.put_object(Bucket=bucket, Key=acl, Body=b"x", ACL=acl)
            assert root.getattr(root.lookup(top, acl.encode())).mode & 0o7777 == mode
        s3.put_object(Bucket=bucket, Key="f", Body=b"x")
        file = root.lookup(top, b"f")
        assert permissions(s3.get_object_acl(Bucket=bucket, Key="f")) == {full, (AUTHENTICATED, "READ")}
        root.setattr(file, sattr3(mode=0o600))
        assert permissions(s3.get_object_acl(Bucket=bucket, Key="f")) == {full}
        s3.put_object_acl(Bucket=bucket, Key="f", ACL="public-read")
        assert root.getattr(file).mode & 0o7777 == 0o644
        assert permissions(s3.get_object_acl(Bucket=bucket, Key="f")) == {full, (ALL, "READ")}
        assert said(there.nobody.get_object, Bucket=bucket, Key="f") == ""
        assert ann.read_all(ann.lookup(top, b"f")) == b"x"
        root.setattr(file, sattr3(mode=0o640))
        assert permissions(s3.get_object_acl(Bucket=bucket, Key="f")) == {full}
        assert said(there.nobody.get_object, Bucket=bucket, Key="f") == DENIED
        with pytest.raises(NfsStatus) as refused:
            ann.read_all(ann.lookup(top, b"f"))
        assert refused.value.status == nfsstat3.NFS3ERR_ACCES


def test_a24_keys_and_accounts_come_and_go_while_the_house_serves(there: Accounts):
    house = there.house
    carol, key = there.add("carol", 4003)
    with closing(carol):
        assert said(carol.list_buckets) == ""
        house.gatefold("account", "key", "remove", key)
        assert said(carol.list_buckets) == "InvalidAccessKeyId"
        assert house.gatefold("account", "key", "remove", key, ok=False).returncode == 1
    second = house.json("account", "key", "add", "carol")
    assert [row["access_key"] for row in house.json("account", "key", "list", "carol")] == [second["access_key"]]
    assert second["secret_key"] not in house.gatefold("account", "key", "list").stdout
    with closing(there.client(second)) as carol:
        carol.create_bucket(Bucket="carols")
        refused = house.gatefold("account", "remove", "carol", ok=False)
        assert (refused.returncode, "carols" in refused.stderr) == (1, True)
        carol.delete_bucket(Bucket="carols")
        house.gatefold("account", "remove", "carol")
        assert said(carol.list_buckets) == "InvalidAccessKeyId"
    assert "carol" not in {row["name"] for row in house.json("account", "list")}
    assert house.gatefold("account", "add", "ann", ok=False).returncode == 1
    assert house.gatefold("account", "add", "../x", ok=False).returncode == 1
    assert second["secret_key"] not in house.log_path.read_text()


def test_another_house_on_the_database_learns_of_a_removed_key_within_two_seconds(there: Accounts):
    """No nudge reaches it: the row goes behind the gateway's back."""
    import psycopg  # noqa: PLC0415

    dave, key = there.add("dave", 4004)
    with closing(dave), psycopg.connect(there.house.database_dsn()) as database:
        assert said(dave.list_buckets) == ""
        database.execute("DELETE FROM access_key WHERE access_key = %s", (key,))
        database.commit()
        deadline = time.monotonic() + WITHIN_SECONDS
        while said(dave.list_buckets) != "InvalidAccessKeyId":
            assert time.monotonic() < deadline


def test_the_operator_sets_modes_of_a_bucket_while_it_serves_and_while_it_does_not(there: Accounts):
    house = there.house
    house.gatefold("bucket", "set", house.bucket, "file_mode=640", "directory_mode=2750")
    with closing(house.s3()) as s3:
        s3.put_object(Bucket=house.bucket, Key="moded/f", Body=b"x")
    with there.nfs(0) as nfs:
        directory = nfs.lookup(nfs.mount(house.export), b"moded")
        assert nfs.getattr(directory).mode & 0o7777 == 0o2750
        assert nfs.getattr(nfs.lookup(directory, b"f")).mode & 0o7777 == 0o640
    for words in (("file_mode=999",), ("colour=red",), ("strict=maybe",), ("nonsense",)):
        assert house.gatefold("bucket", "set", house.bucket, *words, ok=False).returncode
    assert house.gatefold("bucket", "set", "no-such-bucket", "strict=true", ok=False).returncode == 1
    house.stop()
    house.gatefold("bucket", "set", house.bucket, "strict=true", "file_mode=644")
    assert house.gatefold("bucket", "set", "no-such-bucket", "strict=true", ok=False).returncode == 1
    house.start()
    (row,) = (row for row in house.json("bucket", "list") if row["name"] == house.bucket)
    assert row["settings"] == {"file_mode": "644", "directory_mode": "2750", "strict": "true"}
    with closing(house.s3()) as s3:
        assert said(s3.put_object, Bucket=house.bucket, Key="a//b", Body=b"x") == "InvalidArgument"
