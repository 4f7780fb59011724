"""The page."""

from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def breaks(request):
    told = request.body.decode()
    raise ValueError(f"cannot make anything of {told}")
