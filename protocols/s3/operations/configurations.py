"""What is configured of a bucket beyond itself: nothing yet, and that is what each of these reads is told.

Tools read them before they work. The answers are those that S3 documents for a bucket where nothing was ever set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.s3.call import xml_answer
from protocols.s3.codec.errors import S3Error
from protocols.s3.codec.xmlwrite import document, element

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from protocols.s3.call import Answer, Call

#: Sub-resource -> (operation, code of the error that says "none").
ABSENT = {
    "cors": ("GetBucketCors", "NoSuchCORSConfiguration"),
    "encryption": ("GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError"),
    "lifecycle": ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
    "object-lock": ("GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
    "ownershipControls": ("GetBucketOwnershipControls", "OwnershipControlsNotFoundError"),
    "policy": ("GetBucketPolicy", "NoSuchBucketPolicy"),
    "policyStatus": ("GetBucketPolicyStatus", "NoSuchBucketPolicy"),
    "publicAccessBlock": ("GetPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    "replication": ("GetBucketReplication", "ReplicationConfigurationNotFoundError"),
    "website": ("GetBucketWebsite", "NoSuchWebsiteConfiguration"),
}
#: Sub-resource -> (operation, root of the document, its content).
EMPTY = {
    "accelerate": ("GetBucketAccelerateConfiguration", "AccelerateConfiguration", ""),
    "logging": ("GetBucketLogging", "BucketLoggingStatus", ""),
    "notification": ("GetBucketNotificationConfiguration", "NotificationConfiguration", ""),
    "requestPayment": (
        "GetBucketRequestPayment",
        "RequestPaymentConfiguration",
        element("Payer", "BucketOwner"),
    ),
}


def absent(code: str) -> Callable[[Call], Coroutine[Any, Any, Answer]]:
    """Return the operation that says *code* to the bucket's account."""

    async def answer(call: Call) -> Answer:
        await call.namespace.head_bucket(call.caller, call.bucket)
        raise S3Error(code, BucketName=call.bucket)

    return answer


def empty(root: str, content: str) -> Callable[[Call], Coroutine[Any, Any, Answer]]:
    """Return the operation that answers the bucket's account with a document in which nothing is set."""

    async def answer(call: Call) -> Answer:
        await call.namespace.head_bucket(call.caller, call.bucket)
        return xml_answer(document(root, content))

    return answer
