"""The AWS command line: version 1 of PyPI and version 2 of Debian."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from client_mount import digests_of
from client_programs import key_environment, plain_http, program
from local_files import fill, found
from odd_keys import MADE_BY_NFS, PLAIN, odd_files, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from client_mount import Folder
    from house import House

MIB = 1 << 20


@dataclass(frozen=True)
class Aws:
    """One `aws` program with the house's keys."""

    program: str
    house: House
    folder: Path

    def __call__(self, *words: str, ok: bool = True) -> str:
        env = key_environment(self.house, self.folder) | {"AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": ""}
        command = [self.program, "--endpoint-url", self.house.endpoint, *words]
        done = subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode == 0) == ok, f"{words}: {done.returncode} {done.stderr}{self.house.log_tail()}"
        return done.stdout

    def api(self, operation: str, *words: str) -> Any:
        """Run `aws s3api` and return what it prints as JSON, or None."""
        said = self("s3api", operation, *words)
        return json.loads(said) if said.strip() else None


@pytest.fixture(params=["v1", "v2"])
def aws(request: pytest.FixtureRequest, house: House, tmp_path: Path) -> Aws:
    return Aws(program("aws", debian=request.param == "v2"), house, tmp_path)


@pytest.fixture
def bucket() -> str:
    return "b-" + uuid.uuid4().hex[:12]


def test_mb_cp_ls_rm_and_rb(aws: Aws, bucket: str):
    data = os.urandom(300_000)
    (aws.folder / "here.bin").write_bytes(data)
    assert "make_bucket" in aws("s3", "mb", f"s3://{bucket}")
    assert bucket in aws("s3", "ls")
    aws("s3", "cp", "here.bin", f"s3://{bucket}/there/file.bin")
    assert "PRE there/" in aws("s3", "ls", f"s3://{bucket}")
    line = aws("s3", "ls", f"s3://{bucket}/there/").split()
    assert line[2:] == ["300000", "file.bin"]
    aws("s3", "cp", f"s3://{bucket}/there/file.bin", "back.bin")
    assert (aws.folder / "back.bin").read_bytes() == data
    aws("s3", "rb", f"s3://{bucket}", ok=False)
    aws("s3", "rm", f"s3://{bucket}/there/file.bin")
    assert aws("s3", "ls", f"s3://{bucket}", "--recursive") == ""
    aws("s3", "rb", f"s3://{bucket}")


def test_a_missing_key_and_a_missing_bucket_are_errors(aws: Aws):
    aws("s3", "cp", f"s3://{aws.house.bucket}/no/such/key", "x", ok=False)
    aws("s3", "ls", "s3://no-such-bucket-here", ok=False)


def test_rb_force_empties_a_bucket_and_removes_it(aws: Aws, bucket: str):
    fill(aws.folder / "tree", {"a": b"1", "b/c": b"2", "b/d/e": b"3"})
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3", "sync", "tree", f"s3://{bucket}/tree", "--only-show-errors")
    aws("s3", "rb", f"s3://{bucket}", "--force")
    assert bucket not in aws("s3", "ls")


def test_a_tree_goes_there_and_back_by_sync_and_the_second_time_nothing_moves(aws: Aws, folder: Folder):
    tree = {f"d{number % 5}/file {number}": os.urandom(number * 31) for number in range(40)}
    fill(aws.folder / "tree", tree)
    aws("s3", "sync", "tree", folder.url, "--only-show-errors")
    assert aws("s3", "sync", "tree", folder.url) == "", "a second sync finds nothing to do"
    assert folder.digests() == digests_of(tree)
    aws("s3", "sync", folder.url, "back", "--only-show-errors")
    assert aws("s3", "sync", folder.url, "back") == ""
    assert found(aws.folder / "back") == tree
    assert len(aws("s3", "ls", folder.url, "--recursive").splitlines()) == 40
    aws("s3", "rm", folder.url, "--recursive", "--only-show-errors")
    assert folder.digests() == {}


def test_sync_fetches_what_nfs_edited_and_nothing_else(aws: Aws, folder: Folder):
    fill(aws.folder / "tree", {"edited": b"before", "kept": b"kept", "gone": b"gone"})
    aws("s3", "sync", "tree", folder.url, "--only-show-errors")
    aws("s3", "sync", folder.url, "back", "--only-show-errors")
    script = f"cd {folder.name}; echo other length >edited; mkdir new; echo new >new/file; rm gone"
    folder.mount.run(script)
    said = aws("s3", "sync", folder.url, "back", "--delete", "--no-progress").splitlines()
    assert sorted(line.split(":")[0] for line in said) == ["delete", "download", "download"]
    assert found(aws.folder / "back") == {"edited": b"other length\n", "kept": b"kept", "new/file": b"new\n"}


def test_a_large_file_goes_in_parts_is_copied_and_comes_back_whole(aws: Aws, folder: Folder):
    data = os.urandom(MIB) * 40 + b"odd end"
    (aws.folder / "big").write_bytes(data)
    aws("s3", "cp", "big", f"{folder.url}/big", "--only-show-errors")
    head = aws.api("head-object", "--bucket", folder.bucket, "--key", folder.key("big"))
    assert (head["ContentLength"], head["ETag"].strip('"').rpartition("-")[2]) == (len(data), "6")
    aws("s3", "cp", f"{folder.url}/big", f"{folder.url}/copy", "--only-show-errors")
    aws("s3", "mv", f"{folder.url}/copy", f"{folder.url}/moved", "--only-show-errors")
    aws("s3", "cp", f"{folder.url}/moved", "back", "--only-show-errors")
    assert (aws.folder / "back").read_bytes() == data
    assert folder.digests() == digests_of({"big": data, "moved": data})


def test_a_stream_of_unknown_length_is_stored_and_read_back(aws: Aws, folder: Folder):
    data = os.urandom(9 * MIB)
    (aws.folder / "stream").write_bytes(data)
    command = (
        '"$0" --endpoint-url "$1" s3 cp - "$2" --only-show-errors <stream && "$0" --endpoint-url "$1" s3 cp "$2" -'
    )
    words = ["sh", "-c", command, aws.program, aws.house.endpoint, f"{folder.url}/stream"]
    env = key_environment(aws.house, aws.folder)
    done = subprocess.run(words, env=env, cwd=aws.folder, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr
    assert folder.digests() == digests_of({"stream": data})


def test_a_presigned_url_is_fetched_with_plain_http(aws: Aws, folder: Folder, request: pytest.FixtureRequest):
    folder.write("shared file", b"by the mount")
    url = aws("s3", "presign", f"{folder.url}/shared file", "--expires-in", "60").strip()
    assert ("X-Amz-Signature=" if "[v2]" in request.node.name else "AWSAccessKeyId=") in url
    assert plain_http("GET", url) == (200, b"by the mount")


def test_the_api_heads_pages_copies_and_deletes(aws: Aws, folder: Folder):
    for number in range(7):
        folder.write(f"n{number}", b"x" * number)
    of = ("--bucket", folder.bucket)
    at = (*of, "--key", folder.key("n3"))
    assert aws.api("head-object", *at)["ContentLength"] == 3
    listed = aws.api("list-objects-v2", *of, "--prefix", folder.key("n"), "--page-size", "2")["Contents"]
    assert [each["Key"] for each in listed] == [folder.key(f"n{number}") for number in range(7)]
    page = aws.api("list-objects-v2", *of, "--prefix", folder.key("n"), "--max-items", "3")
    token = page["NextToken"]
    rest = aws.api("list-objects-v2", *of, "--prefix", folder.key("n"), "--starting-token", token)["Contents"]
    assert [each["Key"] for each in rest] == [folder.key(f"n{number}") for number in range(3, 7)]
    source = f"{folder.bucket}/{folder.key('n3')}"
    copied = aws.api("copy-object", *of, "--key", folder.key("copy"), "--copy-source", source)
    assert folder.read("copy") == b"xxx"
    assert copied["CopyObjectResult"]["ETag"] == aws.api("head-object", *at)["ETag"]
    doomed = ",".join(f"{{Key={folder.key(name)}}}" for name in ("n0", "n1", "never"))
    assert len(aws.api("delete-objects", *of, "--delete", f"Objects=[{doomed}]")["Deleted"]) == 3
    assert sorted(folder.digests()) == ["copy", "n2", "n3", "n4", "n5", "n6"]
    assert aws.api("get-bucket-location", *of) == {"LocationConstraint": None}


def test_tags_are_kept_and_an_owner_is_told(aws: Aws, folder: Folder):
    folder.write("made", b"by nfs")
    at = ("--bucket", folder.bucket, "--key", folder.key("made"))
    aws.api("put-object-tagging", *at, "--tagging", "TagSet=[{Key=colour,Value=deep red}]")
    assert aws.api("get-object-tagging", *at)["TagSet"] == [{"Key": "colour", "Value": "deep red"}]
    acl = aws.api("get-object-acl", *at)
    assert acl["Owner"]["ID"]
    assert "FULL_CONTROL" in [grant["Permission"] for grant in acl["Grants"]]


def test_metadata_is_kept_by_a_copy_and_replaced_on_demand(aws: Aws, folder: Folder):
    (aws.folder / "page").write_bytes(b"<p>")
    aws("s3", "cp", "page", f"{folder.url}/page", "--content-type", "text/html", "--metadata", "colour=red,n=1")
    aws("s3", "cp", f"{folder.url}/page", f"{folder.url}/kept")
    replace = ("--metadata-directive", "REPLACE", "--metadata", "colour=blue", "--content-type", "text/plain")
    aws("s3", "cp", f"{folder.url}/page", f"{folder.url}/page", *replace)
    heads = [aws.api("head-object", "--bucket", folder.bucket, "--key", folder.key(key)) for key in ("kept", "page")]
    assert [(head["ContentType"], head["Metadata"]) for head in heads] == [
        ("text/html", {"colour": "red", "n": "1"}),
        ("text/plain", {"colour": "blue"}),
    ]
    assert folder.digests() == digests_of({"page": b"<p>", "kept": b"<p>"})


def test_odd_names_reach_the_mount_and_come_back(aws: Aws, folder: Folder):
    tree = odd_files([*PLAIN, "tab\there", "~gf.e-."])
    fill(aws.folder / "tree", tree)
    aws("s3", "cp", "tree", folder.url, "--recursive", "--only-show-errors")
    assert folder.digests() == digests_of({path_of(key): data for key, data in tree.items()})
    aws("s3", "cp", folder.url, "back", "--recursive", "--only-show-errors")
    assert found(aws.folder / "back") == tree


def test_keys_that_are_no_paths_reach_the_mount_by_alias_and_come_back(aws: Aws, folder: Folder):
    keys = odd_files(["double//slash", "beside/below", "beside"])  # a process each: boto3 sends the others
    for key, data in keys.items():
        (aws.folder / "body").write_bytes(data)
        aws.api("put-object", "--bucket", folder.bucket, "--key", folder.key(key), "--body", "body")
    assert folder.digests() == digests_of({path_of(key): data for key, data in keys.items()})
    for key, data in keys.items():
        aws.api("get-object", "--bucket", folder.bucket, "--key", folder.key(key), "back")
        assert (aws.folder / "back").read_bytes() == data, key


def test_files_made_on_the_mount_are_listed_and_got_by_their_keys(aws: Aws, folder: Folder):
    for path, key in MADE_BY_NFS.items():
        folder.write(os.fsdecode(path), key.encode())
    listed = aws.api("list-objects-v2", "--bucket", folder.bucket, "--prefix", folder.key(""))["Contents"]
    keys = sorted(folder.key(key) for key in MADE_BY_NFS.values())
    assert [each["Key"] for each in listed if not each["Key"].endswith("/")] == keys
    for key in ("~gf.e-caf%E9", "typed\n"):
        aws.api("get-object", "--bucket", folder.bucket, "--key", folder.key(key), "back")
        assert (aws.folder / "back").read_text() == key
