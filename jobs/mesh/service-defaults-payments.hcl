# payments calls nobody of the mesh: how an instance of it is ejected is said by those who call it.
Kind     = "service-defaults"
Name     = "payments"
Protocol = "http"
