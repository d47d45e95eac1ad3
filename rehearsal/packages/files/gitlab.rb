## GitLab configuration settings (rehearsal stand-in)
##! gitlab-ctl reconfigure reads this file.

external_url 'http://gitlab.example.com'
